"""Every command that writes: what is wrong with its output is one line, exit code 2, before any
work, and nothing is left.
"""

import dataclasses
import errno
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfr_kit import cli, outputs, paths
from mfr_kit.data.face_set import faceset
from mfr_kit.errors import KitError

# `{out}` is what the command writes, a folder or a file; `{src}` a folder of people, `{pairs}` a
# list of pairs, `{run}` a run folder
FOLDERS = {
    "augment": ["augment", "{src}", "{out}", "--aligned", "--workers", "0"],
    "convert": ["convert", "{src}", "{out}"],
    "unpack": ["pairs", "unpack", "{pairs}", "{out}"],
    "audit": ["audit", "{src}", "--model", "none", "--out", "{out}"],
    "cluster": ["cluster", "{src}", "--out", "{out}"],
    "gallery": ["masks", "gallery", "{out}"],
    "distill": ["distill", "--data", "{src}", "--out", "{out}"],
    "distill-bank": ["distill", "--data", "{set}", "--out", "{src}/new", "--bank", "{out}"],
    "adapt": ["adapt", "--data", "{src}", "--out", "{out}"],
    "average": ["average", "{run}", "--out", "{out}"],
    "ablate": ["ablate", "{src}/no.toml", "--work", "{out}"],
    "ablate-records": ["ablate", "{src}/no.toml", "--work", "{src}/w", "--records", "{out}"],
    "evaluate": ["evaluate", "sface", "--data", "{src}", "--out", "{out}"],
    "demo": ["demo", "--out", "{out}"],
}
FILES = {
    "convert-rec": ["convert", "{src}", "{out}.rec"],
    "convert-list": ["convert", "{src}", "{out}.txt"],
    "pack": ["pairs", "pack", "{pairs}", "{out}.bin"],
    "preview": ["masks", "preview", "{out}.png"],
    "export": ["export-onnx", "{run}", "--out", "{out}.onnx"],
    "submission": ["make-submission", "no.onnx", "--track", "ms1m", "--out", "{out}.zip"],
    "results": ["results", "--records", "{src}", "--out", "{out}.md"],
    "budget": ["fit", "--table", "{out}.md"],
}
WRITERS = {**FOLDERS, **FILES}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> dict[str, Path]:
    """A folder of two people with two faces each, a list of one pair, and a face set without a
    face.
    """
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    for person in ("anna", "ben"):
        (folder / "src" / person).mkdir(parents=True)
        for shot in range(2):
            image = rng.integers(0, 255, (112, 112, 3), np.uint8)
            (folder / "src" / person / f"{shot}.png").write_bytes(cv2.imencode(".png", image)[1])
    (folder / "src/pairs.csv").write_text("left,right,same\nanna/0.png,ben/0.png,0\n")
    (folder / "run").mkdir()
    return {
        "src": folder / "src",
        "pairs": folder / "src/pairs.csv",
        "run": folder / "run",
        "set": folder / "set",
    }


def run(name: str, out: Path, inputs: dict[str, Path], capsys) -> str:
    """Run a writer whose output is wrong; return its one line."""
    arguments = [part.format(out=out, **inputs) for part in WRITERS[name]]
    before = listing(inputs["src"])
    code = cli.main(arguments)
    error = capsys.readouterr().err.strip()
    assert code == 2, error
    assert error.startswith("error: ")
    assert error.count("\n") == 0
    assert listing(inputs["src"]) == before
    return error


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# these look at their inputs first, which are made up here; what they say of outputs is tested in
# their own rooms
BEHIND_INPUTS = ("distill-bank", "export", "results")


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in BEHIND_INPUTS])
def test_a_path_below_a_file(name: str, tmp_path: Path, inputs, capsys):
    (tmp_path / "file").write_text("mine")
    error = run(name, tmp_path / "file/x", inputs, capsys)
    assert "file" in error and "not a folder" in error
    assert listing(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", [name for name in FOLDERS if name not in BEHIND_INPUTS])
def test_a_file_where_a_folder_goes(name: str, tmp_path: Path, inputs, capsys):
    (tmp_path / "x").write_text("mine")
    error = run(name, tmp_path / "x", inputs, capsys)
    assert "is a file" in error or "exists already" in error
    assert listing(tmp_path) == ["x"]
    assert (tmp_path / "x").read_text() == "mine"


@pytest.mark.parametrize("name", [name for name in FILES if name not in BEHIND_INPUTS])
def test_a_folder_where_a_file_goes(name: str, tmp_path: Path, inputs, capsys):
    suffix = WRITERS[name][-1].removeprefix("{out}")
    there = tmp_path / f"x{suffix}"
    (there / "kept").mkdir(parents=True)
    error = run(name, tmp_path / "x", inputs, capsys)
    assert "is a folder" in error or "exists already" in error
    assert (there / "kept").is_dir() and len(listing(tmp_path)) == 2


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("name", [name for name in WRITERS if name not in BEHIND_INPUTS])
def test_a_place_that_takes_nothing(name: str, number: int, tmp_path, inputs, capsys, monkeypatch):
    def refuse(path, data):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    error = run(name, tmp_path / "new/x", inputs, capsys)
    words = {errno.EROFS: "can only be read", errno.ENOSPC: "full", errno.EACCES: "permission"}
    assert words[number] in error
    assert listing(tmp_path) == []


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in BEHIND_INPUTS])
def test_a_name_that_does_not_fit(name: str, tmp_path: Path, inputs, capsys):
    error = run(name, tmp_path / "new" / ("x" * 252 + "yyyy"), inputs, capsys)
    assert "choose a shorter one" in error
    assert listing(tmp_path) == []


def test_no_option_that_names_an_output_is_unchecked():
    """An option called out, dst, work or table (to write) says what it writes, so that it is
    checked.
    """
    from mfr_kit.ablation.options import AblateOptions, ResultsOptions
    from mfr_kit.adapt.options import AdaptOptions
    from mfr_kit.augment.options import AugmentOptions, DemoOptions
    from mfr_kit.cli import audit, pairs
    from mfr_kit.clustering.options import ClusterOptions
    from mfr_kit.evaluation.options import EvaluateOptions
    from mfr_kit.submission.options import BudgetOptions, ExportOptions, SubmissionOptions
    from mfr_kit.training.average_options import AverageOptions
    from mfr_kit.training.options import RunOptions

    classes = [AblateOptions, ResultsOptions, audit.AuditOptions, pairs.PackOptions]
    classes += [pairs.UnpackOptions, EvaluateOptions, AugmentOptions, DemoOptions, ExportOptions]
    classes += [
        ClusterOptions,
        BudgetOptions,
        SubmissionOptions,
        AdaptOptions,
        AverageOptions,
        RunOptions,
    ]
    for cls in classes:
        named = [
            field
            for name, field in cls.__dataclass_fields__.items()
            if name in ("out", "dst", "work")
        ]
        named = named or [cls.__dataclass_fields__["table"]]
        assert all(field.metadata["writes"] in ("file", "folder") for field in named), cls


def test_pack_writes_over_nothing(tmp_path: Path, inputs, capsys):
    arguments = ["pairs", "pack", str(inputs["pairs"]), str(tmp_path / "x.bin")]
    assert cli.main(arguments) == 0
    capsys.readouterr()
    before = (tmp_path / "x.bin").read_bytes()
    assert cli.main(arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "x.bin").read_bytes() == before


def test_nothing_is_replaced_without_force(tmp_path: Path, inputs, capsys):
    """Whatever writes: refused where something lies, or it goes on with what it left there."""
    for name in FILES:
        if name in BEHIND_INPUTS or name.startswith("convert"):
            continue
        place = tmp_path / name
        place.mkdir()
        target = Path(WRITERS[name][-1].format(out=place / "x"))
        target.write_text("mine")
        error = run(name, place / "x", inputs, capsys)
        assert "exists already" in error, name
        assert name == "pack" or "--force" in error, name
        assert listing(place) == [target.name] and target.read_text() == "mine"
    for name in ("audit", "evaluate", "average", "cluster", "unpack"):
        place = tmp_path / name
        place.mkdir()
        (place / "mine").write_text("mine")
        error = run(name, place, inputs, capsys)
        assert "exists already" in error, name
        assert listing(place) == ["mine"]


def check(cls, **given) -> None:
    outputs.check_outputs(cls(**given))


def test_an_input_is_never_replaced(tmp_path: Path):
    from mfr_kit.cli.audit import AuditOptions
    from mfr_kit.evaluation.options import EvaluateOptions
    from mfr_kit.masks.options import SheetOptions
    from mfr_kit.submission.options import ExportOptions, SubmissionOptions

    run_folder = tmp_path / "run"
    run_folder.mkdir()
    for name in ("student.pt", "graph.onnx", "model.onnx", "x.zip"):
        (run_folder / name).write_text(name)
    (tmp_path / "link").symlink_to(run_folder)
    refused = [
        (ExportOptions, {"run": run_folder, "out": run_folder / "student.pt"}, "a file of RUN"),
        (ExportOptions, {"run": run_folder, "out": tmp_path / "link/graph.onnx"}, "a file of RUN"),
        (
            ExportOptions,
            {"run": run_folder / "student.pt", "out": run_folder / "student.pt"},
            "is RUN",
        ),
        (
            SubmissionOptions,
            {"model": run_folder / "x.zip", "track": "ms1m", "out": run_folder / "x.zip"},
            "is MODEL",
        ),
        (AuditOptions, {"src": run_folder, "out": tmp_path / "link"}, "is SRC"),
        (
            EvaluateOptions,
            {"models": [f"{run_folder}:imagenet"], "data": tmp_path, "out": run_folder},
            "is MODELS",
        ),
        (SheetOptions, {"out": run_folder / "x.png", "faces": tmp_path}, "a file of --faces"),
    ]
    (run_folder / "x.png").write_text("a photograph")
    for cls, given, words in refused:
        with pytest.raises(KitError, match=words):
            check(cls, **given, force=True)
    check(ExportOptions, run=run_folder, out=run_folder / "model.onnx", force=True)
    check(ExportOptions, run=run_folder, force=True)
    with pytest.raises(KitError, match=r"without --out: .*model\.onnx exists already"):
        check(ExportOptions, run=run_folder)
    check(ExportOptions, run=run_folder, out=Path("/dev/null"))
    assert (run_folder / "student.pt").read_text() == "student.pt"


def test_force_stands_where_it_helps():
    """Each option that writes goes on with what is there, or can be forced, or is refused by a
    command whose sets are never replaced.
    """
    from tests.test_option_declarations import options_classes

    never = {"AverageOptions", "ClusterOptions", "MergeOptions", "PackOptions", "UnpackOptions"}
    never |= {"HarvestOptions", "ViewsOptions"}
    for cls in options_classes():
        fields = dataclasses.fields(cls)
        ends = [f for f in fields if f.metadata["writes"] and not f.metadata["grows"]]
        forced = any(field.name == "force" for field in fields)
        assert bool(ends) == (forced or cls.__name__ in never) or cls.__name__ == "SheetOptions"
        assert not (forced and cls.__name__ in never)


def test_a_dry_run_needs_no_output(tmp_path: Path):
    from mfr_kit.ablation.options import AblateOptions

    (tmp_path / "file").write_text("")
    outputs.check_outputs(
        AblateOptions(table=tmp_path, work=tmp_path / "file", dry_run=True, records=tmp_path)
    )


@pytest.mark.parametrize("format", ["folder", "rec", "plan"])
def test_augment_on_a_disk_that_fills_up_goes_on_later(
    format: str, tmp_path: Path, inputs, capsys, monkeypatch
):
    """The disk is full at the third face or record, or at the very plan of the work; afterwards
    the same command finishes the set.
    """
    from mfr_kit.augment.journal import WORK
    from mfr_kit.data.face_set.storage import ShardWriter

    count = [0]

    def limited(real):
        def write(*arguments):
            face = format == "rec" or arguments[0].suffix == ".jpg"
            count[0] += face != (format == "plan")
            if count[0] == 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments)

        return write

    command = ["augment", str(inputs["src"]), str(tmp_path / "s"), "--aligned", "--workers", "0"]
    command += ["--ratio", "0", "--format", "rec" if format == "rec" else "folder"]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", limited(Path.write_bytes)) if format != "rec" else None
        patch.setattr(ShardWriter, "append", limited(ShardWriter.append))
        patch.setattr(paths, "_PROBE_BYTES", 0)
        assert cli.main(command) == 2
    error = capsys.readouterr().err
    assert "the disk is full" in error and str(tmp_path / "s") in error
    assert not (tmp_path / "s").exists()
    assert WORK in listing(tmp_path / "s.part")
    assert cli.main(command) == 0
    assert len(faceset.FaceSet.open(tmp_path / "s")) == 4


def test_what_a_refused_augment_left_is_not_in_the_way(tmp_path: Path, inputs, capsys, monkeypatch):
    from mfr_kit.augment import crew

    command = ["augment", str(inputs["src"]), str(tmp_path / "s"), "--aligned", "--workers", "0"]
    with monkeypatch.context() as patch:
        patch.setattr(crew, "load_maker", lambda *_: (_ for _ in ()).throw(MemoryError))
        assert cli.main([*command, "--ratio", "1"]) == 2
    assert (tmp_path / "s.part").is_dir()
    assert cli.main([*command, "--ratio", "0"]) == 0
    assert len(faceset.FaceSet.open(tmp_path / "s")) == 4


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_names_that_a_pipe_cannot_take_are_escaped(encoding: str, tmp_path: Path):
    """The work is done when its line is printed: no letter of a name may end the command there."""
    code = "import sys; from mfr_kit import cli; cli._print_everything(); print('Žofie \\udcd5 李')"
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    wanted = "Žofie \\udcd5 \\u674e" if encoding == "cp1252" else "\\u017dofie \\udcd5 \\u674e"
    assert done.stdout.decode(encoding).strip() == wanted


def test_a_pipe_that_is_full_is_one_line(tmp_path: Path):
    code = "from mfr_kit import cli; raise SystemExit(cli.main(['--version']))"
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.decode().startswith("error: the disk is full")
    assert done.stderr.count(b"\n") == 1


def test_a_locale_without_utf8_does_not_lose_names(tmp_path: Path, inputs):
    """`LC_ALL=C` with Python's own remedies switched off: the kit starts again with them on."""
    source = tmp_path / "Žofie"
    source.mkdir()
    (source / "李").symlink_to(inputs["src"] / "anna")
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment = {**os.environ, **locale, "PYTHONPATH": os.getcwd()}
    arguments = ["convert", str(source), str(tmp_path / "new/Žofie.txt")]
    done = subprocess.run(
        [sys.executable, "-m", "mfr_kit", *arguments],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "李" in (tmp_path / "new/Žofie.txt").read_text(encoding="utf-8")
    assert (tmp_path / "new/Žofie/李/0.png").is_file()
