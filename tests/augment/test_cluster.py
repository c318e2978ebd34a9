"""`augment --engine ray`: actors of a cluster make the bytes of one machine, also when some are
killed.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mfr_kit import cli, cluster
from mfr_kit.augment import actors, workplace
from mfr_kit.augment import run as room
from mfr_kit.augment.job import job_of
from mfr_kit.augment.journal import CLAIMS, WORK
from mfr_kit.augment.options import AugmentOptions
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.providers import Provider
from tests.conftest import files_of, head

ROOT = Path(__file__).resolve().parents[2]
SHARDS = 4


def write_crops(folder: Path, takes: int) -> Path:
    """Write aligned faces of a few people; a person's are all the same picture."""
    for person in range(SHARDS):
        (folder / f"p{person}").mkdir(parents=True)
        for take in range(takes):
            (folder / f"p{person}" / f"{take:04d}.png").write_bytes(encode(head(person), ".png"))
    return folder


def make_here(crops: Path, **options) -> dict[str, bytes]:
    """Make the set with the local engine and return its files."""
    target = crops.parent / "here"
    room.augment(
        AugmentOptions(src=crops, dst=target, aligned=True, workers=0, shards=SHARDS, **options)
    )
    return files_of(target)


def job_for(folder: Path, takes: int = 3) -> actors.Job:
    crops = write_crops(folder / "crops", takes)
    return job_of(AugmentOptions(src=crops, dst=folder / "set", aligned=True, shards=SHARDS))


def test_without_ray_the_extra_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    crops = write_crops(tmp_path / "crops", 1)
    command = ["augment", str(crops), str(tmp_path / "set"), "--aligned", "--engine", "ray"]
    assert cli.main(command) == 2
    assert "mfr-kit[cluster]" in capsys.readouterr().err
    assert [item.name for item in tmp_path.iterdir()] == ["crops"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--address", "auto"], "add --engine ray"),
        (["--engine", "ray", "--workers", "0"], "contradict"),
        (["--engine", "ray", "--shard", "0"], "contradict"),
        (["--engine", "ray", "--device", "cuda:1"], "Ray chooses the GPU"),
        (["--engine", "ray", "--device", "auto"], "Ray chooses the GPU"),
    ],
)
def test_flags_that_contradict_each_other(tmp_path, capsys, flags, message):
    command = ["augment", str(tmp_path), str(tmp_path / "set"), "--shards", "2", *flags]
    assert cli.main(command) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("address", ["127.0.0.1:1", "head.invalid:6379", "head", "ray://head:1"])
def test_an_address_where_no_cluster_answers(tmp_path, capsys, monkeypatch, address):
    pytest.importorskip("ray", reason="ray is not installed")
    crops = write_crops(tmp_path / "crops", 1)
    command = ["augment", str(crops), str(tmp_path / "set"), "--aligned", "--engine", "ray"]
    assert cli.main([*command, "--address", address]) == 2
    assert f"--address {address}: " in capsys.readouterr().err
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert cli.main(command) == 2
    assert f"RAY_ADDRESS={address}: " in capsys.readouterr().err
    assert [item.name for item in tmp_path.iterdir()] == ["crops"]


def test_what_listens_may_be_something_else(tmp_path):
    pytest.importorskip("ray", reason="ray is not installed")
    from http.server import HTTPServer, SimpleHTTPRequestHandler
    from threading import Thread

    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            with (
                pytest.raises(KitError, match="is not Ray"),
                cluster.connect(f"127.0.0.1:{server.server_port}"),
            ):
                pass
        finally:
            server.shutdown()
            thread.join()


def test_actors_share_what_the_cluster_has(tmp_path):
    job = job_for(tmp_path)
    assert actors.share(job, None, 64, 8) == (64, {"num_cpus": 1, "num_gpus": 0})
    assert actors.share(job, 3, 64, 8) == (3, {"num_cpus": 1, "num_gpus": 0})
    with pytest.raises(KitError, match="no CPU"):
        actors.share(job, None, 0, 8)
    on_gpu = replace(job, alignment=replace(job.alignment, provider=Provider()))
    assert actors.share(on_gpu, None, 64, 8) == (8, {"num_cpus": 1, "num_gpus": 1})
    assert actors.share(on_gpu, 24, 64, 8) == (24, {"num_cpus": 1, "num_gpus": 0.3333})
    assert actors.share(on_gpu, 24, 64, 0) == (24, {"num_cpus": 1, "num_gpus": 1})
    with pytest.raises(KitError, match="no GPU"):
        actors.share(on_gpu, None, 64, 0)


def test_an_actor_makes_shards_and_says_how_far_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(actors, "REPORT_S", 0.0)
    job = job_for(tmp_path, takes=70)
    actor = actors.ShardMaker(job)
    with pytest.raises(KitError, match="does not see"):
        actor.load()
    workplace.begin(job)
    actor.load()
    assert list(actor.work(1, False)) == [0, 64, 70, 70]
    assert list(actor.work(1, True)) == [70, 70]
    for shard in (0, 2, 3):
        assert list(actor.work(shard, False))[-1] == 70
    assert workplace.finish(job)[0]["faces"] == 280


def test_an_actor_refuses_another_version_of_the_kit(tmp_path):
    job = job_for(tmp_path)
    workplace.begin(job)
    with pytest.raises(KitError, match=r"not 0\.0"):
        actors.ShardMaker(replace(job, about={**job.about, "kit_version": "0.0"})).load()


class Saboteur:
    """Stands for the progress, and strikes once, as soon as two actors hold a shard."""

    def __init__(self, claims: Path, strike) -> None:
        self.claims, self.strike, self.photos, self.struck = claims, strike, 0, False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def advance(self, photos: int) -> None:
        self.photos += photos
        holders = [json.loads(claim.read_text())["pid"] for claim in self.claims.glob("0*")]
        if not self.struck and len(holders) == 2:
            self.struck = True
            self.strike(holders)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "form"),
    [("nothing", "folder"), ("an actor", "folder"), ("an actor", "rec"), ("a machine", "rec")],
)
def test_two_machines_make_the_set_of_one(tmp_path, monkeypatch, machines, second, form, loss):
    crops = write_crops(tmp_path / "crops", 300)
    strikes = {
        "nothing": lambda holders: None,
        "an actor": lambda holders: os.kill(holders[0], signal.SIGKILL),
        "a machine": lambda holders: machines.remove_node(second, allow_graceful=False),
    }
    saboteur = Saboteur(tmp_path / "there.part" / WORK / CLAIMS, strikes[loss])
    lines: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(room, "Progress", lambda *given, **named: saboteur)
        options = AugmentOptions(
            src=crops,
            dst=tmp_path / "there",
            aligned=True,
            format=form,
            shards=SHARDS,
            engine="ray",
            address=machines.address,
        )
        done = room.augment(options, lines.append)
    assert saboteur.struck
    assert saboteur.photos == done.counts["faces"] == 300 * SHARDS
    assert any("was lost" in line for line in lines) == (loss != "nothing")
    assert files_of(tmp_path / "there") == make_here(crops, format=form)
    assert {item.name for item in tmp_path.iterdir()} == {"crops", "here", "there"}


class Worker:
    """Dies at task 1, refuses task 2."""

    def load(self) -> str:
        return "here"

    def work(self, task: int, again: bool) -> Iterator[int]:
        if task == 1:
            os._exit(1)
        if task == 2:
            raise KitError("task 2 cannot be")
        yield task


@pytest.mark.slow
def test_what_no_actor_can_do_ends_the_run(machines):
    lines: list[str] = []
    with cluster.connect(machines.address), cluster.connect(None):  # is connected
        with cluster.Pool(Worker, (), 1, lines.append, num_cpus=1) as pool:
            pool.wait()
            done: list[tuple[int, int]] = []
            pool.work_through([0, 3], lambda *step: done.append(step))
            assert done == [(0, 0), (3, 3)]
            with pytest.raises(KitError, match=r"^task 2 cannot be$"):
                pool.work_through([2], print)
            pool.work_through([4], lambda *step: done.append(step))
            assert done[2:] == [(4, 4)]
        lost = "5 actors were lost one after the other at task 1"
        with (
            cluster.Pool(Worker, (), 1, lines.append, num_cpus=1) as pool,
            pytest.raises(KitError, match=lost),
        ):
            pool.work_through([1], print)
    assert len(lines) == cluster.MOST_LOST - 1


@pytest.mark.slow
def test_a_ray_of_this_machine_alone(tmp_path):
    """The command itself, with paths that hold only where it is given."""
    pytest.importorskip("ray", reason="ray is not installed")
    crops = write_crops(tmp_path / "crops", 3)
    command = [sys.executable, str(ROOT / "kit.py"), "augment", "crops", "there", "--aligned"]
    command += ["--shards", str(SHARDS), "--engine", "ray", "--workers", "1"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    (tmp_path / "home").mkdir()  # Ray leaves a token there
    environment["HOME"] = str(tmp_path / "home")
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "12 faces" in done.stdout
    assert files_of(tmp_path / "there") == make_here(crops)
