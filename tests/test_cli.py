"""The roof: quick, helpful, and never a traceback for what the user can mend."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mfr_kit import cli
from tests.conftest import write_faceset

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "kit.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["augment", "--help"],
        ["distill", "--help"],
        ["evaluate", "--help"],
    ],
)
def test_help_pulls_in_nothing_heavy(arguments):
    code = (
        "import sys; from mfr_kit.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'torch', 'cv2', 'numpy', 'onnx', 'onnxruntime', 'albumentations', "
        "'insightface', 'pyarrow', 'scipy'} & set(sys.modules);"
        "assert code == 0, code; assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_importing_the_package_pulls_in_nothing_heavy():
    code = "import sys, mfr_kit; assert not {'torch', 'cv2', 'numpy'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_users_mistake_is_one_line_and_exit_code_2(tmp_path):
    done = run("augment", str(tmp_path / "nowhere"), str(tmp_path / "out"))
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_unknown_flags_and_commands_are_exit_code_2():
    assert run("augmnt").returncode == 2
    assert run("augment", "--rato", "1").returncode == 2


def test_the_four_promised_commands_are_there(capsys):
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("augment", "distill", "export-onnx", "make-submission"))


def test_assets_verify_says_ok(capsys):
    assert cli.main(["assets", "verify"]) == 0
    assert capsys.readouterr().out.count(" ok ") >= 3


def test_help_stands_in_sections_as_wide_as_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    assert cli.main(["distill", "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: kit.py distill [RUN] --data DATA --out OUT [OPTIONS]")
    assert all(f"\n{name}:\n" in shown for name in ("Data", "Optimiser", "Views", "Machine"))
    assert "[default: 0.35]" in shown and "[range: 0..1]" in shown
    assert 100 < max(map(len, shown.splitlines())) <= 140
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n{panel}:\n" in shown for panel in ("Data", "Train", "Submit"))
    assert "..." not in shown.split("Set up:")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lr", "1"], "did you mean --learning-rate?"),
        (["--bach-size", "1"], "did you mean --batch-size?"),
        (["--keep", "2", "--data", "x", "--out", "y"], "--weight-share must be between 0 and 1"),
        (["--keep", "1", "--weight_share", "1"], "--keep and --weight-share are the same option"),
        (["--learning_rate", "0", "--data", "x", "--out", "y"], "--learning-rate must be above 0"),
        (["--method", "CoupleFase", "--data", "x", "--out", "y"], "Did you mean 'coupleface'"),
    ],
)
def test_a_mistyped_option_gets_the_right_name(arguments, words, capsys):
    assert cli.main(["distill", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        ("distill --data SET --out OUT --batch-size 4 --teacher sfac", "sface"),
        ("distill --data SET --out OUT --batch-size 4 --init teachr", "teacher"),
        ("distill --data SET --out OUT --batch-size 4 --masks KF94", "kn95"),
        ("distill --data SET --out OUT --student mobilefacenets", "mobilefacenet"),
        ("distill --data SET --out OUT --method couplefase", "coupleface"),
        ("distill --data SET --out OUT --config TOP/recip.toml", "TOP/recipe.toml"),
        ("adapt --data SET --out OUT --teacher sfac", "sface"),
        ("adapt --data SET --out OUT --masks surgicl", "surgical"),
        ("evaluate sfac --data SET --out OUT", "sface"),
        ("evaluate sface --data SET --out OUT --protocol mask-nonmaks", "mask-nonmask"),
        ("augment TOP OUT --detector yunt", "yunet"),
        ("convert SET OUT --to fodler", "folder"),
        ("check TOP/recipe.tml --track cfat", "TOP/recipe.toml"),
        ("make-submission TOP/x.onnx --track webface260 --out OUT", "webface260m"),
        ("make-submission TOP/x.onnx --track cfat --format np --out OUT", "npy"),
        ("average TOP/st --out OUT", "TOP/set"),
        ("assets fetch sfac", "sface"),
        ("ablate TOP/recip.toml --work OUT", "TOP/recipe.toml"),
        ("masks preview OUT.png --masks KF94", "kn95"),
        ("masks preview OUT.png --sheets lok", "looks"),
    ],
)
def test_a_missing_name_gets_its_nearest(command, meant, named_things, tmp_path, capsys):
    places = {"SET": f"{named_things}/set", "TOP": str(named_things), "OUT": f"{tmp_path}/out"}
    for word, place in places.items():
        command, meant = command.replace(word, place), meant.replace(word, place)
    assert cli.main(command.split()) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"Did you mean '{meant}'?" in error


@pytest.fixture(scope="module")
def named_things(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    write_faceset(folder / "set", people=4, takes=2)
    (folder / "recipe.toml").write_text("")
    return folder


def test_an_argument_given_as_a_flag_is_told_so(capsys):
    assert cli.main(["masks", "preview", "--out", "x.png"]) == 2
    assert "takes OUT without a flag: give it without --out" in capsys.readouterr().err


def test_ctrl_c_before_a_command_is_found_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(cli, "build_app", lambda: signal.raise_signal(signal.SIGINT))
    assert cli.main(["doctor"]) == 130
    assert "Traceback" not in (said := capsys.readouterr().err)
    assert said.startswith("stopped: ") and "To go on: `python kit.py doctor`" in said


def test_an_error_that_ctrl_c_brought_about_is_the_same_line(monkeypatch, capsys):
    def fail_on_the_way_out():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            raise RuntimeError("unexpected pos 43840")  # as torch.save does

    monkeypatch.setattr(cli, "build_app", fail_on_the_way_out)
    assert cli.main(["doctor"]) == 130
    assert capsys.readouterr().err.startswith("stopped: ")
