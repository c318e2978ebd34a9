import os
from dataclasses import replace

import pytest

from mfr_kit import claims
from mfr_kit.adapt.options import AdaptOptions
from mfr_kit.adapt.run import adapt
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.models import weights
from mfr_kit.training import preflight, prepare
from mfr_kit.training.distill import distill
from mfr_kit.training.teacher import bank


@pytest.fixture
def no_bank(monkeypatch):
    """Fail where the teacher is asked for a single embedding."""
    monkeypatch.setattr(bank, "store", lambda *_, **__: pytest.fail("the bank was begun"))


@pytest.fixture
def make_bare(make_options):
    """Options of runs without masks, whose library takes longer to load than the rest of a
    refused start.
    """
    return lambda **changes: make_options(**{"mask_ratio": 0.0, **changes})


def lines(folder, *names):
    folder.joinpath("list.txt").write_text("".join(f"{name}\n" for name in names))
    return folder / "list.txt"


REFUSED = [
    (
        {"batch_size": 25},
        "--batch-size 25 is more than the 24 training faces of a pass: give --batch-size 24 or "
        "less",
    ),
    (
        {"batch_size": 9, "sampling": "identities"},
        "--batch-size 9 is more than the 8 training people of a pass",
    ),
    ({"batch_size": 1}, "--batch-size 1: the batch norms of mobilefacenet need two faces"),
    (
        {"batch_size": 1, "freeze_bn": True, "method": "rkd"},
        "--batch-size 1 with --method rkd: relations",
    ),
    (
        {"batch_size": 1, "freeze_bn": True, "method": "srt"},
        "--batch-size 1 with --method srt: a batch of one",
    ),
    ({"freeze_layers": 999}, "layer"),
    ({"masks": ["no-such-mask"], "mask_ratio": 0.5}, "no-such-mask"),
    ({"init": "nothing.pt"}, "nothing.pt"),
]


@pytest.mark.parametrize(("changes", "words"), REFUSED)
def test_a_refused_start_takes_no_folder(make_bare, no_bank, changes, words):
    options = make_bare(**changes)
    with pytest.raises(KitError, match=words):
        distill(options)
    assert not options.out.exists()


def test_too_few_validation_people_are_found_before_the_bank(make_bare, no_bank, tmp_path):
    options = make_bare(val_people=lines(tmp_path, "p00", "p01"))
    with pytest.raises(KitError, match="too few for a TAR"):
        distill(options)
    assert not options.out.exists()


def test_packages_that_are_not_there_are_named_before_the_bank(make_bare, no_bank, monkeypatch):
    found = preflight.importlib.util.find_spec
    monkeypatch.setattr(
        preflight.importlib.util,
        "find_spec",
        lambda name, *rest: None if name in ("faiss", "tensorboard") else found(name, *rest),
    )
    with pytest.raises(KitError, match="--tensorboard needs the package: pip install tensorboard"):
        distill(make_bare(tensorboard=True))
    with pytest.raises(KitError, match="--search faiss needs the package: pip install faiss-cpu"):
        distill(make_bare(search="faiss"))


def test_a_folder_without_a_checkpoint_is_reused(make_bare, monkeypatch, capsys):
    options = make_bare(steps=1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            prepare.bank, "fill", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        distill(replace(options, learning_rate=0.5))
    assert (options.out / weights.CONFIG).is_file()
    distill(options)
    assert "learning_rate = 0.001" in (options.out / weights.CONFIG).read_text()
    with pytest.raises(
        KitError,
        match=r"holds a run already \(finished\): continue it with --resume, or choose another "
        r"--out",
    ):
        distill(options)
    (options.out / weights.LAST).unlink()
    (options.out / weights.STUDENT).unlink()
    capsys.readouterr()
    distill(replace(options, resume=True, learning_rate=0.002))
    assert "holds no checkpoint: the run begins from its start" in capsys.readouterr().out


def test_a_taken_folder_is_refused_before_anything_is_opened(make_bare, monkeypatch):
    options = make_bare()
    options.out.mkdir()
    (options.out / weights.LAST).write_bytes(b"")
    monkeypatch.setattr(FaceSet, "open", lambda *_: pytest.fail("the set was opened"))
    with pytest.raises(KitError, match=r"\(stopped before its end\): continue it with --resume"):
        distill(options)


def test_somebodys_config_is_not_replaced(make_bare):
    options = make_bare()
    options.out.mkdir()
    (options.out / weights.CONFIG).write_text("mine = 1\n")
    with pytest.raises(KitError, match="was left by no run"):
        distill(options)
    assert (options.out / weights.CONFIG).read_text() == "mine = 1\n"


def test_two_runs_do_not_share_a_folder(make_bare, no_bank, monkeypatch):
    """Whichever machine the other is on: its claim says who it is."""
    monkeypatch.setattr(claims, "BEAT_S", 0.05)
    options = make_bare()
    with prepare.sole_run(options.out, first=True) as expect_held:
        with pytest.raises(KitError, match=rf"working there: .*\(process {os.getpid()} on "):
            distill(options)
        expect_held()
    assert list(options.out.iterdir()) == []


def test_a_run_that_lost_its_folder_saves_nothing(make_bare, monkeypatch):
    """It stood still, and another took over: the first save would write into the other's run."""
    options = make_bare(steps=1)
    own = claims.Claims.is_held

    def is_held(held: claims.Claims, name: str) -> bool:
        return held.folder != options.out / claims.CLAIMS and own(held, name)

    monkeypatch.setattr(claims.Claims, "is_held", is_held)
    with pytest.raises(KitError, match="another run has taken the folder over"):
        distill(options)
    assert not (options.out / weights.LAST).exists()


@pytest.mark.slow
def test_a_refused_adapt_takes_no_folder(make_bare, no_bank, tmp_path):
    usual = make_bare()
    options = AdaptOptions(
        data=usual.data, out=usual.out, teacher=usual.teacher, batch_size=49, threads=1
    )
    with pytest.raises(
        KitError,
        match="--batch-size 49 is more than the 48 training views of a pass: give --batch-size 48",
    ):
        adapt(options)
    with pytest.raises(KitError, match="too few for a TAR"):
        adapt(replace(options, batch_size=8, val_people=lines(tmp_path, "p00", "p01")))
    assert not options.out.exists()
