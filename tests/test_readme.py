"""The README's commands are run as they stand there; the shipped configs are options that exist."""

import re
import shlex
import shutil
from pathlib import Path

import cv2
import pytest

from mfr_kit import assets, cli, options
from mfr_kit.training.options import distill_options

ROOT = Path(__file__).resolve().parent.parent
SHORTER = {
    "distill": ["--steps", "2", "--batch-size", "4", "--workers", "0"],
    "augment": ["--workers", "0"],
    "check": ["--no-latency"],
    "split": ["--val", "0.35", "--holdout", "0.35"],  # of fourteen people
    "run": [*("--steps", "2", "--batch-size", "4"), *("--val", "0.35", "--holdout", "0.35")],
}


def commands_of(document: str) -> list[list[str]]:
    """The `python kit.py ...` lines of a document's sh blocks."""
    text = (ROOT / document).read_text(encoding="utf-8")
    lines = (
        "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ").splitlines()
    )
    return [
        shlex.split(line, comments=True)[2:] for line in lines if line.startswith("python kit.py ")
    ]


def run_commands(document: str, shorter: dict[str, list[str]], capfd) -> list[str]:
    """Run a document's commands in the current folder, each with the flags that make it short;
    returns their names.
    """
    ran = []
    for command in commands_of(document):
        code = cli.main([*command, *shorter.get(command[0], [])])
        assert code == 0, (
            f"python kit.py {shlex.join(command)} -> {code}\n{capfd.readouterr().err[-2000:]}"
        )
        ran.append(command[0])
    return ran


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """What the README's reader has: photos/ and the shipped configs."""
    folder = tmp_path_factory.mktemp("reader")
    for person in range(1, 15):
        (folder / "photos" / f"s{person}").mkdir(parents=True)
        for take in range(1, 7):
            photograph = assets.path("orl-faces") / f"s{person}" / f"{take}.pgm"
            shutil.copy(photograph, folder / "photos" / f"s{person}")
    shutil.copytree(ROOT / "configs", folder / "configs")
    return folder


@pytest.mark.slow
def test_the_readmes_commands_run_in_their_order(workplace, monkeypatch, capfd):
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("COLUMNS", "200")
    ran = run_commands("README.md", SHORTER, capfd)
    assert {"augment", "distill", "evaluate", "export-onnx", "check", "make-submission"} <= set(ran)
    for made in (
        "faces/faces.parquet",
        "runs/sface/student.pt",
        "runs/mobile/student.pt",
        "report/report.html",
        "model.onnx",
        "submission.zip",
        "out/submission.zip",
    ):
        assert (workplace / made).is_file(), made


def test_the_readmes_python_runs(workplace, monkeypatch, capsys):
    (snippet,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL
    )
    assert snippet in (ROOT / "docs" / "guides" / "python.md").read_text("utf-8")
    monkeypatch.chdir(workplace)
    first = sorted((workplace / "photos" / "s1").iterdir())[0]
    cv2.imwrite("photo.jpg", cv2.imread(str(first)))
    exec(compile(snippet, "README.md", "exec"), {})
    assert 0 < float(capsys.readouterr().out.removeprefix("cosine ")) < 1


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda path: path.name
)
def test_shipped_configs_are_options_that_exist(path):
    # A config nobody instantiates rots.
    made = options.load(distill_options(), path, {"data": Path("set"), "out": Path("run")})
    assert made.student
    assert f"configs/{path.name}" in path.read_text(), "its header says how it is run"


def test_every_file_the_readme_points_to_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", text) + re.findall(
        r"`((?:mfr_kit|masks|submission|tests|configs)/[\w./]*)`", text
    )
    assert len(targets) > 8
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_makefile_has_the_readmes_targets():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make ([a-z]+)", (ROOT / "README.md").read_text()):
        if target not in {"without"}:
            assert f"\n{target}: " in makefile, target
