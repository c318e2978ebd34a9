import json
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest

from mfr_kit.cli import main
from mfr_kit.models.weights import build_backbone
from mfr_kit.submission import survey, tracks, v100_time
from mfr_kit.submission.checks.graph import multiply_adds
from mfr_kit.submission.export import export_module

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "tracks.md"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The survey of one backbone and the folder of its kept time."""
    cache = tmp_path_factory.mktemp("timings")
    (found,) = survey.survey(["mobilefacenet"], cache)
    return found, cache


@pytest.mark.slow
def test_what_is_counted_is_what_export_writes(small, tmp_path):
    found, _ = small
    done = export_module(build_backbone("mobilefacenet"), tmp_path / "model.onnx", {})
    proto = onnx.load(done.path)
    assert (found.embedding_size, found.nodes) == (done.embedding_size, len(proto.graph.node))
    assert found.multiply_adds == multiply_adds(proto)
    assert found.file_mib == pytest.approx(done.size_bytes / 2**20, rel=0.001)  # metadata apart
    assert sorted((found.v100_low_ms, found.v100_high_ms)) == sorted(
        (v100_time.by_nodes(found.nodes), v100_time.by_multiply_adds(found.multiply_adds))
    )


def test_a_mobile_network_keeps_the_rules_of_every_track(small):
    found, _ = small
    assert set(found.broken) == set(tracks.names())
    assert [name for name, rows in found.broken.items() if rows] == []


def test_a_cache_that_takes_nothing_is_a_note(tmp_path, monkeypatch, capsys):
    (tmp_path / "cache").write_text("")
    monkeypatch.setattr(survey, "single_image_ms", lambda *_, **__: SimpleNamespace(low=2.0))
    assert survey._thread_ms(tmp_path / "m.onnx", ("m",), tmp_path / "cache") == 2
    assert "is not kept for another run" in capsys.readouterr().err
    survey.write_markdown(tmp_path / "new" / "tracks.md", [])
    assert (tmp_path / "new" / "tracks.md").read_text().startswith("# Every backbone")


def test_limits_that_are_passed_are_named(small, monkeypatch, tmp_path):
    _, cache = small
    text = (tracks.FOLDER / "ms1m.toml").read_text()
    tight = {
        "embedding_size = 512": "embedding_size = 64",
        "time_ms = 10": "time_ms = 1",
        "file_mib = 1024": "file_mib = 3",
    }
    for old, new in tight.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "tight.toml").write_text(text.replace("nodes = 8", "nodes = 800\nflops = 1e6"))
    (tmp_path / "thread.toml").write_text(
        (tracks.FOLDER / "webface260m.toml").read_text().replace("time_ms = 1000", "time_ms = 0.01")
    )
    own = {name: tracks.load(name, tmp_path) for name in ("tight", "thread")}
    monkeypatch.setattr(tracks, "names", lambda: list(own))
    monkeypatch.setattr(tracks, "load", own.get)
    (found,) = survey.survey(["mobilefacenet"], cache)
    rules = {name: {row.rule for row in rows} for name, rows in found.broken.items()}
    assert rules == {
        "tight": {
            "embedding size",
            "time",
            "file size",
            "graph nodes",
            "multiply-adds for one image",
        },
        "thread": {"time"},
    }
    page = survey.to_markdown([found])
    assert "- mobilefacenet, tight: embedding size 128, wanted <= 64" in page
    assert (
        "| mobilefacenet | file size, graph nodes, multiply-adds for one image, embedding size, "
        "time | time |" in page
    )


def test_a_backbone_is_timed_once(small, monkeypatch):
    found, cache = small
    (kept,) = cache.iterdir()
    assert json.loads(kept.read_text())["ms"] == found.thread_ms > 0
    monkeypatch.setattr(survey, "single_image_ms", None)  # a second timing would stop here
    assert survey.survey(["mobilefacenet"], cache)[0].thread_ms == found.thread_ms


def test_the_page_in_docs_is_of_these_backbones_and_tracks(small):
    found, _ = small
    shipped = PAGE.read_text(encoding="utf-8").splitlines()
    made = survey.to_markdown([found]).splitlines()
    columns = "| " + " | ".join(["backbone", *tracks.names()]) + " |"
    assert columns in shipped and columns in made
    measured = f"| {found.thread_ms:.0f} |"
    for line in made:
        if line.startswith("| mobilefacenet"):
            assert any(other.startswith(line.removesuffix(measured)) for other in shipped), (
                f"run `kit.py budget --table docs/reference/tracks.md`: {line}"
            )


def test_command_line(tmp_path, monkeypatch, small, capsys):
    found, _ = small
    monkeypatch.setattr(survey, "survey", lambda: [found])
    assert main(["fit", "--table", str(tmp_path / "tracks.md")]) == 0
    assert (tmp_path / "tracks.md").read_text() == survey.to_markdown([found])
    assert main(["fit", "--table", str(tmp_path / "no" / "tracks.md")]) == 0  # it is made
    assert main(["fit"]) == 2 and main(["fit", "--track", "ms1m", "--table", "x.md"]) == 2
    assert (
        main(["fit", "--table", "x.txt"]) == 2 and main(["fit", "--table", "x.md", "--json"]) == 2
    )
    assert "error:" in capsys.readouterr().err
