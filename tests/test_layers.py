"""A package imports only what stands above it in the plan; this reads the imports and fails
otherwise.
"""

import ast
from pathlib import Path

import pytest

from tests.import_graph import circles, graph_of

ROOT = Path(__file__).resolve().parent.parent / "mfr_kit"
ORDER = [
    [
        *["errors", "seeding", "registry", "text", "records", "tables"],
        *[
            "system_errors",
            "processes",
            "leftovers",
            "paths",
            "files",
            "spreadsheet",
            "web_page",
            "claims",
            "interrupts",
            "ranges",
            "option_names",
            "options",
            "limited_process",
            "outputs",
        ],
        *["console", "progress", "cluster", "shipped", "dequantize"],
        *["assets", "block_cache", "network_errors", "remote", "providers"],
    ],
    ["data"],
    ["masks"],
    ["models"],
    ["losses"],
    ["evaluation"],
    ["training"],
    ["submission"],
    [
        *["augment", "audit", "clustering", "adapt", "ablation"],
        *["pipeline", "demo", "doctor", "input_trial", "studio"],
    ],
    ["api"],
    ["cli", "__main__"],
]
LINES = 320  # the most a file may have; about 300 is what to aim at
FLOOR = {name: number for number, room in enumerate(ORDER) for name in room}


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = (
                [f"{node.module}.{alias.name}" for alias in node.names]
                if node.module == "mfr_kit"
                else [node.module]
            )
        else:
            assert not isinstance(node, ast.ImportFrom), f"{path}: relative import"
            continue
        rooms |= {module.split(".")[1] for module in modules if module.startswith("mfr_kit.")}
    return rooms - {"__version__"}


@pytest.mark.parametrize(
    "path", sorted(ROOT.rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_imports_go_down(path: Path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if own == "__init__":
        assert not imported_rooms(path)
        return
    assert own in FLOOR, f"{path} stands in no room of the plan"
    for room in imported_rooms(path):
        assert FLOOR[room] <= FLOOR[own], (
            f"{path.relative_to(ROOT)} imports {room}, which stands above it"
        )
        if FLOOR[own] == 0:
            assert ORDER[0].index(room) < ORDER[0].index(own), (
                f"{own} and {room} import each other's floor out of order"
            )


def test_no_two_files_import_each_other():
    assert not circles(graph_of(ROOT.parent))


def test_no_file_is_too_long():
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in ROOT.rglob("*.py")
    }
    long = {name: n for name, n in lengths.items() if n > LINES}
    assert not long


NAMELESS = {"told", "drawn", "worn", "frozen", "between", "following", "its", "one", "lost"}


def test_participles_and_prepositions_name_nothing():
    found = []
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                name = node.id
            elif isinstance(node, ast.arg):
                name = node.arg
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                name = node.name
            else:
                continue
            if name.strip("_") in NAMELESS:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")
    assert not found
