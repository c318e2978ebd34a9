"""Verification sets: InsightFace's accuracy computed a second, slow way; nothing but one batch
of images in memory; errors by name.
"""

import json
import tracemalloc

import numpy as np
import pytest

from mfr_kit import cli
from mfr_kit.data.images import encode
from mfr_kit.data.verification_sets.bins import write_bin
from mfr_kit.errors import KitError
from mfr_kit.evaluation.published.bin_sets import BinSet, insightface_accuracy, measure
from mfr_kit.evaluation.verification.rates import Plan
from mfr_kit.seeding import rng_for
from tests.conftest import head, write_faceset
from tests.evaluation.fakes import ColourEmbedder

PAIRS = 64


def images(pairs: int = PAIRS) -> tuple[list[np.ndarray], list[bool]]:
    """Pairs of drawn heads, the genuine and the others mixed, some of them hard."""
    same = (rng_for(4).random(pairs) < 0.5).tolist()
    return [
        head(pair % 17 + 17 * (side and not one), side)
        for pair, one in enumerate(same)
        for side in (0, 1)
    ], same


@pytest.fixture
def packed(tmp_path):
    faces, same = images()
    write_bin(tmp_path / "lfw.bin", (encode(face, ".png") for face in faces), same)
    return tmp_path / "lfw.bin", np.stack(faces), same


def slow_accuracies(rows: np.ndarray, same: list[bool]) -> list[float]:
    """InsightFace's loop in plain Python: KFold without shuffling, thresholds 0..4 in steps of
    0.01, the first best one.
    """
    distances = []
    for pair in range(len(same)):
        one, other = ([float(v) for v in rows[2 * pair + side]] for side in (0, 1))
        one, other = ([v / sum(w * w for w in row) ** 0.5 for v in row] for row in (one, other))
        distances.append(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)))
    sizes = [len(same) // 10 + (fold < len(same) % 10) for fold in range(10)]
    accuracies, start = [], 0
    for size in sizes:
        test = range(start, start + size)
        best, chosen = -1, None
        for step in range(400):
            right = sum(
                (distances[i] < step * 0.01) == same[i] for i in range(len(same)) if i not in test
            )
            if right > best:
                best, chosen = right, step * 0.01
        accuracies.append(sum((distances[i] < chosen) == same[i] for i in test) / size)
        start += size
    return accuracies


def test_accuracy_is_insightfaces(packed) -> None:
    """Through the file, the embedder and the mirror image; 64 pairs, so that the folds are not
    equal.
    """
    path, faces, same = packed
    embedder = ColourEmbedder()
    result = measure(
        embedder, BinSet(path), Plan(fars=(0.2, 0.01), resamples=9), batch=7, cache=None
    ).result
    rows = embedder.embed(faces) + embedder.embed(faces[:, :, ::-1])
    folds = slow_accuracies(rows, same)
    assert result["accuracy"]["folds"] == folds and len(set(folds)) > 2
    assert (
        result["accuracy"]["mean"] == pytest.approx(sum(folds) / 10)
        and 0.6 < result["accuracy"]["mean"] < 1
    )
    assert result["comparisons"]["genuine"] == sum(same) and result["comparisons"][
        "impostor"
    ] == PAIRS - sum(same)


def test_accuracy_of_noise_and_of_ties(packed) -> None:
    rng = rng_for(8)
    for rows in (rng.standard_normal((46, 5)), rng.integers(1, 3, (46, 3)).astype(float)):
        same = (rng.random(23) < 0.4).tolist()
        assert insightface_accuracy(rows[::2], rows[1::2], np.array(same))[0][
            "folds"
        ] == slow_accuracies(rows, same)


def test_one_batch_of_images_is_held_at_a_time(tmp_path) -> None:
    """400 images are 15 MB of pixels and the file itself 10 MB: neither may be held."""
    noise = rng_for(3).integers(0, 256, (400, 112, 112, 3)).astype(np.uint8)
    write_bin(
        tmp_path / "noise.bin", (encode(face) for face in noise), [n % 2 == 0 for n in range(200)]
    )
    del noise
    embedder = ColourEmbedder()
    tracemalloc.start()
    measure(embedder, BinSet(tmp_path / "noise.bin"), Plan(fars=(0.1,)), batch=8, cache=None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6


def test_the_command_measures_bins_alone_and_beside_a_set(
    colour_models, packed, tmp_path, capsys
) -> None:
    path = packed[0]
    (tmp_path / "cfp <fp>.bin").write_bytes(path.read_bytes())
    arguments = [
        "evaluate",
        "whole",
        "upper",
        "--bin",
        str(path),
        "--bin",
        str(tmp_path / "cfp <fp>.bin"),
        "--far",
        "0.2",
        "--resamples",
        "9",
    ]
    assert cli.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    page = (tmp_path / "out" / "report.html").read_text()
    assert (
        list(report["protocols"]) == ["bin-lfw", "bin-cfp <fp>"]
        and report["set"] is None
        and report["challenge"] is None
    )
    assert [one["pairs"] for one in report["bins"]] == [PAIRS, PAIRS]
    of = report["protocols"]["bin-lfw"]["models"]["upper"]["accuracy"]
    (change,) = report["protocols"]["bin-lfw"]["accuracy_differences"]
    assert (
        f"upper minus whole in accuracy: {100 * change['difference']:+.2f} points" in text
        and f"upper minus whole in accuracy: {100 * change['difference']:+.2f} points" in page
        and change["interval"]["low"] <= change["difference"] <= change["interval"]["high"]
    )
    line = f"{100 * of['mean']:.2f} +- {100 * of['std']:.2f} % in 10 folds"
    assert f"upper: accuracy {line}" in text and f"{100 * of['mean']:.2f} %" in page
    assert (
        f"lfw.bin, accuracy in folds: {100 * of['mean']:.2f} % ± {100 * of['std']:.2f} %</small>"
        in page
    )
    assert (
        "on lfw.bin, cfp &lt;fp&gt;.bin" in page
        and report["bins"][0]["fingerprint"] in page
        and "<fp>" not in page
    )
    write_faceset(tmp_path / "set")
    assert (
        cli.main(
            [
                *arguments,
                "--data",
                str(tmp_path / "set"),
                "--out",
                str(tmp_path / "both"),
            ]
        )
        == 0
    )
    both = json.loads((tmp_path / "both" / "report.json").read_text())
    assert next(iter(both["protocols"])) == "nonmask-nonmask" and list(both["protocols"])[
        -2:
    ] == list(report["protocols"])
    assert both["protocols"]["bin-lfw"] == report["protocols"]["bin-lfw"]
    assert "on set, lfw.bin" in (tmp_path / "both" / "report.html").read_text()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "--data is missing"),
        (["--bin", "lfw.bin", "--people", "some.txt"], "--people asks for a face set"),
        (["--bin", "lfw.bin", "--operating-point", "0.1"], "--operating-point asks for a face set"),
        (["--bin", "none.bin"], "none.bin: cannot be read"),
        (["--bin", "lfw.bin", "--bin", "./lfw.bin"], "two files are called lfw.bin"),
    ],
)
def test_mistakes_are_named(
    packed, monkeypatch, tmp_path, capsys, flags: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["evaluate", "sface", *flags]) == 2
    assert words in capsys.readouterr().err


def test_a_file_of_embeddings_cannot_answer_for_a_bin(packed, tmp_path, capsys) -> None:
    write_faceset(tmp_path / "set")
    np.save(tmp_path / "a.npy", np.ones((48, 3), np.float32))
    assert (
        cli.main(
            [
                "evaluate",
                str(tmp_path / "a.npy"),
                "--data",
                str(tmp_path / "set"),
                "--bin",
                str(packed[0]),
            ]
        )
        == 2
    )
    assert "a verification set needs the model" in capsys.readouterr().err


def test_sets_that_cannot_be_measured_are_named(tmp_path) -> None:
    faces, same = images()
    path = tmp_path / "x.bin"
    for pictures, flags, words in (
        (faces[:18], same[:9], "10 folds need 10 pairs"),
        (faces[:24], [True] * 12, "12 pairs of one person and 0 of two"),
    ):
        write_bin(path, (encode(face) for face in pictures), flags)
        with pytest.raises(KitError, match=words):
            BinSet(path)
    data = [encode(face) for face in faces]
    for wrong, words in (
        (encode(head(1, size=96)), "image 5 has 96x96 pixels"),
        (b"none", "image 5: not an image"),
    ):
        write_bin(path, [*data[:5], wrong, *data[6:]], same)
        with pytest.raises(KitError, match=words):
            measure(ColourEmbedder(), BinSet(path), Plan(fars=(0.2,)), batch=8, cache=None)
