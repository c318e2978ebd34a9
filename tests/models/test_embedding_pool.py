"""Embedding by actors: on two machines the bits of one, also where one of them is lost."""

import json
import sys

import pytest
import torch

from mfr_kit import cli, cluster
from mfr_kit.audit.scan import open_set, scan
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.embed import embed_set
from mfr_kit.models import embedding_pool, weights
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.options import check_engine
from mfr_kit.training.teacher import bank
from tests.conftest import files_of, write_faceset

BATCH = 4


@pytest.fixture(scope="module")
def state_dict(tmp_path_factory):
    """The weights of a small random network."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("network") / "small.pt"
    torch.save(weights.build_backbone("mobilefacenet", None, 1.0).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return write_faceset(tmp_path_factory.mktemp("faces") / "set", people=20, takes=7, twins=False)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("local", "auto", "cpu"), "--address is of a Ray cluster: add --engine ray"),
        (("ray", None, "cuda:1"), "Ray chooses the GPU"),
        (("ray", None, "auto"), "Ray chooses the GPU"),
    ],
)
def test_flags_that_contradict_each_other(asked, message):
    with pytest.raises(KitError, match=message):
        check_engine(*asked)
    with pytest.raises(KitError, match="--bank-"):
        check_engine(*asked, "--bank-engine")


@pytest.mark.parametrize("command", ["evaluate", pytest.param("distill", marks=pytest.mark.slow)])
def test_without_ray_the_extra_is_named(faces, state_dict, tmp_path, capsys, monkeypatch, command):
    monkeypatch.setitem(sys.modules, "ray", None)
    flags = {
        "evaluate": [str(state_dict), "--engine", "ray", "--no-cache"],
        "distill": f"--teacher {state_dict} --bank-engine ray --device cpu "
        f"--out {tmp_path / 'run'} --student mobilefacenet --workers 0 --batch-size 4 "
        "--steps 1".split(),
    }[command]
    assert cli.main([command, "--data", str(faces.folder), *flags]) == 2
    assert "mfr-kit[cluster]" in capsys.readouterr().err


def test_an_actor_refuses_other_weights_and_versions(state_dict, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for wrong, message in (({"version": "0.0"}, r"not 0\.0"), ({}, "other weights")):
        load = embedding_pool.Load(str(state_dict), "another", {}, **wrong)
        with pytest.raises(KitError, match=message):
            embedding_pool.BlockEmbedder(load).load()


class Saboteur:
    """Is told how many faces are done, and strikes once."""

    def __init__(self, strike) -> None:
        self.strike, self.faces = strike, 0

    def __call__(self, faces: int) -> None:
        if not self.faces:
            self.strike()
        self.faces += faces


def kill_actor(pooled) -> None:
    """Kill one of the actors that are ready, and wait until it is gone."""
    import ray

    actor = next(iter(pooled.start()._places))
    ray.kill(actor)
    with pytest.raises(ray.exceptions.RayActorError):
        while True:
            ray.get(actor.load.remote())


@pytest.mark.slow
def test_two_machines_give_the_bits_of_one(
    faces, state_dict, machines, second, monkeypatch, capsys, tmp_path
):
    """A bank, whose blocks end in the middle of a span; a face that cannot be read, after which the
    actors work on; then one actor is killed in the middle of a set, and then a machine.
    """
    monkeypatch.setattr(bank, "SAVE_EVERY", 8)
    monkeypatch.setattr(embedding_pool, "BLOCK", 3 * BATCH)
    one, how = load_embedder(state_dict, threads=1), {"flip": True, "batch": BATCH}
    broken = write_faceset(tmp_path / "broken", people=4, takes=4, twins=False)
    (tmp_path / "broken" / broken.keys[9]).write_bytes(b"none")
    wanted = embed_set(one, faces, **how)
    bank.fill(tmp_path / "here", faces, one, batch=BATCH, progress=False)
    with cluster.connect(machines.address):
        pooled = embedding_pool.load_on("ray", str(state_dict))
        pooled.start().wait()
        bank.fill(tmp_path / "there", faces, pooled, batch=BATCH, progress=False)
        with pytest.raises(KitError, match=broken.keys[9]):
            bank.fill(tmp_path / "none", broken, pooled, batch=BATCH, progress=False)
        for loss in ("an actor", "a machine"):
            pooled.start().wait()  # until both have replacements
            assert "was lost at" not in capsys.readouterr().err
            strike = {
                "an actor": lambda: kill_actor(pooled),
                "a machine": lambda: machines.remove_node(second, allow_graceful=False),
            }[loss]
            saboteur = Saboteur(strike)
            assert embed_set(pooled, faces, progress=saboteur, **how).tobytes() == wanted.tobytes()
            assert saboteur.faces == len(faces)
            assert "was lost at" in capsys.readouterr().err
        pooled.close()
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")


@pytest.mark.slow
def test_evaluate_and_audit_by_a_cluster_say_the_same(faces, state_dict, machines, tmp_path):
    command = ["evaluate", str(state_dict), "--data", str(faces.folder), "--no-cache"]
    command += ["--resamples", "0", "--no-faces"]
    ray = ["--threads", "1", "--engine", "ray", "--address", machines.address]
    reports = []
    for name, flags in (("here", ["--threads", "1"]), ("there", ray)):
        assert cli.main([*command, *flags, "--out", str(tmp_path / name)]) == 0
        reports.append(json.loads((tmp_path / name / "report.json").read_text()))
    assert reports[0]["protocols"] == reports[1]["protocols"]
    assert reports[0]["models"] == reports[1]["models"]
    command = ["audit", str(faces.folder), "--no-turned", "--model", str(state_dict)]
    for name, flags in (("one", ["--threads", "1"]), ("many", ray)):
        assert cli.main([*command, *flags, "--out", str(tmp_path / name)]) == 0
    assert files_of(tmp_path / "one") == files_of(tmp_path / "many")
    with cluster.connect(machines.address):
        source = open_set(faces.folder)
        scans = [
            scan(source, embedder)
            for embedder in (
                load_embedder(state_dict, threads=1),
                embedding_pool.load_on("ray", str(state_dict)),
            )
        ]
    assert scans[0].embeddings.tobytes() == scans[1].embeddings.tobytes()
