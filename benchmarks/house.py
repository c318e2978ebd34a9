"""Measure the house itself: circles, rooms, options that travel, lines, types, words, start-up
time.

    python benchmarks/house.py                 the checkout
    python benchmarks/house.py --at a380584    another commit beside it

Nothing is promised here but in tests (tests/test_layers.py); the table shows where the code goes.
"""

import argparse
import ast
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.import_graph import PACKAGE, circles, graph_of  # noqa: E402  the path comes first

LINE = 100
REPEATS = 9


def sources(root: Path) -> dict[Path, str]:
    """Read every source of the package, by its path below the package."""
    package = root / PACKAGE
    return {
        path.relative_to(package): path.read_text(encoding="utf-8")
        for path in sorted(package.rglob("*.py"))
    }


def largest_room(found: dict[Path, str]) -> str:
    """Name the folder with the most files side by side, plug-in folders left out."""
    rooms: dict[str, int] = {}
    for path in found:
        if path.name != "__init__.py" and not _is_plug_in(path):
            rooms[path.parent.as_posix()] = rooms.get(path.parent.as_posix(), 0) + 1
    name = max(rooms, key=lambda room: rooms[room])
    return f"{rooms[name]} ({name})"


def _is_plug_in(path: Path) -> bool:
    folders = "cli losses backbones detectors formats pair_formats protocols checks packages"
    return path.parent.name in [*folders.split(), "features"]


def options_passed(found: dict[Path, str]) -> int:
    """Count parameters whose annotation is an `*Options`, outside cli/ and the files of options; a
    loss has no door, its options are its own.
    """
    count = 0
    for path, text in found.items():
        if path.parts[0] in ("cli", "losses") or "options" in path.name:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                notes = [ast.unparse(entry.annotation) for entry in named if entry.annotation]
                count += sum("Options" in note for note in notes)
    return count


def type_errors(root: Path) -> str:
    """Count mypy's errors with every file checked; "-" where mypy is not installed."""
    command = [sys.executable, "-m", "mypy", "--ignore-missing-imports", "--config-file", ""]
    done = subprocess.run(
        [*command, PACKAGE], cwd=root, capture_output=True, text=True, check=False
    )
    found = re.search(r"Found (\d+) errors? in (\d+) files?", done.stdout)
    if found:
        return f"{found[1]} in {found[2]} files"
    return "0" if "Success" in done.stdout else "-"


def seconds(root: Path, code: str) -> float:
    """Time a fresh Python that runs some code in a checkout."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True)
    return time.perf_counter() - start


def start_up(root: Path) -> tuple[float, float]:
    """Time `import mfr_kit` in ms, and `kit.py --help` as a multiple of `import typer`."""
    bare, kit, help_page, typer = [], [], [], []
    page = "from mfr_kit.cli import main; main(['--help'])"
    for _ in range(REPEATS):
        bare.append(seconds(root, "pass"))
        kit.append(seconds(root, "import mfr_kit"))
        help_page.append(seconds(root, page))
        typer.append(seconds(root, "import typer"))
    middle = statistics.median
    return 1000 * (middle(kit) - middle(bare)), middle(help_page) / middle(typer)


def measure(root: Path) -> dict[str, str]:
    """Measure one checkout; returns what is shown, by row."""
    found = sources(root)
    lines = [line for text in found.values() for line in text.splitlines() if line.strip()]
    functions = [
        node.end_lineno - node.lineno + 1
        for text in found.values()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.end_lineno
    ]
    lengths = sorted(len(text.splitlines()) for text in found.values())
    import_ms, help_ratio = start_up(root)
    return {
        "circles of files": str(len(circles(graph_of(root)))),
        "files of the largest room": largest_room(found),
        "*Options parameters": str(options_passed(found)),
        "mean line": f"{statistics.mean(map(len, lines)):.1f}",
        f"lines over {LINE}": f"{sum(len(line) > LINE for line in lines) / len(lines):.1%}",
        "file median / longest": f"{statistics.median(lengths):.0f} / {lengths[-1]}",
        "function longest": str(max(functions)),
        "type errors": type_errors(root),
        "words of the README": str(len((root / "README.md").read_text(encoding="utf-8").split())),
        "import mfr_kit": f"{import_ms:.0f} ms",
        "--help / import typer": f"{help_ratio:.2f}",
    }


def extract(commit: str, folder: Path) -> Path:
    """Lay the files of a commit into a folder."""
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at", help="a commit to measure too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        columns = {"now": measure(ROOT)}
        if asked.at:
            columns = {asked.at[:8]: measure(extract(asked.at, Path(folder))), **columns}
    print(f"{'':28}" + "".join(f"{name:>24}" for name in columns))
    for row in columns["now"]:
        print(f"{row:28}" + "".join(f"{column[row]:>24}" for column in columns.values()))


if __name__ == "__main__":
    main()
