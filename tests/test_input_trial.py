"""`kit.py inspect` against recognisers whose input is known, and figures against slow loops."""

import numpy as np
import pytest

from mfr_kit import assets, input_trial
from mfr_kit.cli import main
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.input_trial import Pairs, Trial, TrialFaces, choose_rows, try_inputs, verdict
from mfr_kit.models.input_format import NORMALISATIONS, parse
from mfr_kit.models.preprocess import to_input
from tests.models import odd_onnx

PEOPLE, SHOTS = 20, 4
FORMS = list(NORMALISATIONS.values())


def patches(people=PEOPLE, shots=SHOTS, grey=False) -> TrialFaces:
    """People who differ a little in the colours of a coarse pattern, each with noise."""
    rng = np.random.default_rng(0)
    own = rng.normal(110, 14, (people, 1, 4, 4, 3))
    coarse = own + rng.normal(0, 9, (people, shots, 4, 4, 3))
    coarse = np.repeat(coarse[..., :1], 3, axis=-1) if grey else coarse
    images = np.clip(np.kron(coarse, np.ones((1, 1, 28, 28, 1))), 0, 255).astype(np.uint8)
    return TrialFaces(
        images.reshape(-1, 112, 112, 3), np.repeat(np.arange(people), shots), "patches"
    )


class Trained:
    """A recogniser that knows people by how their patterns look to it under one input."""

    name, embedding_size = "trained", PEOPLE

    def __init__(self, truth: str, faces: TrialFaces) -> None:
        self.normalisation = "minus1_to_1"
        rows = self._pattern(faces.images, truth)
        self._people = np.stack([rows[faces.labels == one].mean(0) for one in range(PEOPLE)])

    def _pattern(self, images, normalisation):
        return to_input(images, normalisation)[:, :, 14::28, 14::28].reshape(len(images), -1)

    def embed(self, images):
        rows = self._pattern(images, self.normalisation)
        squares = ((rows[:, None] - self._people[None]) ** 2).sum(2)
        return np.exp(-np.minimum(squares, 300) / 4).astype(np.float32)


@pytest.mark.parametrize("truth", ["imagenet", "bgr_imagenet", "mean=91/104/131+std=50+order=bgr"])
def test_the_input_it_was_trained_on_is_found_and_how_sure_that_is(truth):
    faces = patches()
    embedder = Trained(truth, faces)
    trials = try_inputs(embedder, faces, [*FORMS, parse(truth)])
    assert len(trials) == len({*FORMS, parse(truth)})
    best, *others = trials
    assert best.form.text == truth
    assert best.interval[0] < best.d_prime < best.interval[1]
    assert best.lead == (0, 0)
    assert [trial.d_prime for trial in others] == sorted(
        (trial.d_prime for trial in others), reverse=True
    )
    turned = {"imagenet": "bgr_imagenet", "bgr_imagenet": "imagenet"}.get(truth)
    assert all(trial.is_apart for trial in others if trial.form.text == turned)
    assert embedder.normalisation == "minus1_to_1"  # it stays as it was
    lines = verdict(trials, faces, "m.onnx", None)
    assert lines[0].startswith(f"best: {truth}, (pixel - (")
    assert lines[-1] == f"to use it: m.onnx:{truth}, or --normalisation {truth}"
    said = verdict(trials, faces, "m.onnx", "bgr_raw_0_255")
    assert "it says that it takes bgr_raw_0_255, which separates worse" in said[-1]


def test_what_cannot_be_told_apart_is_said():
    class Cosine(Trained):
        """Looks at directions alone: a scale changes nothing."""

        def embed(self, images):
            return self._pattern(images, self.normalisation)

    faces = patches(grey=True)
    trials = try_inputs(Cosine("imagenet", faces), faces, FORMS)
    assert {trial.form.order for trial in trials} == {"rgb"}  # grey faces show no order
    found = {trial.form.text: trial for trial in trials}
    assert found["raw_0_255"].d_prime == pytest.approx(found["zero_to_1"].d_prime, rel=1e-5)
    close = [parse("minus1_to_1"), parse("minus1_to_1_by_128")]
    for forms in (close, close[::-1]):
        trials = try_inputs(Cosine("imagenet", faces), faces, [*forms, parse("raw_0_255")])
        assert [trial.form for trial in trials[:2]] == forms  # the more usual one first
        assert not trials[1].is_apart
        lines = "\n".join(verdict(trials, faces, "m.onnx", "minus1_to_1"))
        assert f"do not tell it from {trials[1].form.text}" in lines
        assert "grey" in lines and "separates worse" not in lines


def test_figures_equal_slow_loops():
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(6), [2, 3, 4, 2, 3, 4])
    rows = rng.normal(0, 1, (6, 5))[labels] + rng.normal(0, 0.8, (len(labels), 5))
    pairs = Pairs(labels)
    found = pairs.measure(rows)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def split(weights):
        same, other = [], []
        for i in range(len(labels)):
            for j in range(i):
                a, b = labels[i], labels[j]
                count = weights[a] if a == b else weights[a] * weights[b]
                (same if a == b else other).extend([unit[i] @ unit[j]] * int(count))
        return np.array(same), np.array(other)

    def d_prime(weights):
        same, other = split(weights)
        return (same.mean() - other.mean()) / np.sqrt((same.var() + other.var()) / 2)

    same, other = split(np.ones(6))
    assert found.d_prime == pytest.approx(d_prime(np.ones(6)))
    assert found.auc == pytest.approx((same[:, None] > other[None]).mean())
    assert found.tar == pytest.approx((same > other.max()).mean())  # no false accept is allowed
    for number in range(3):
        assert found.resampled[number] == pytest.approx(d_prime(pairs._draws[number]))


def test_a_network_that_breaks_down_under_a_description_comes_last():
    class Fragile(Trained):
        def embed(self, images):
            found = super().embed(images)
            return found * np.nan if self.normalisation.endswith("raw_0_255") else found

    faces = patches()
    trials = try_inputs(Fragile("imagenet", faces), faces, FORMS)
    assert trials[0].form.text == "imagenet"
    assert {trial.form.text for trial in trials[-2:]} == {"raw_0_255", "bgr_raw_0_255"}
    assert np.isnan(trials[-1].d_prime) and trials[-1].is_apart
    nothing = [Trial(trial.form, np.nan, (0, 0), np.nan, np.nan) for trial in trials]
    assert "none of them separates people" in verdict(nothing, faces, "m.onnx", None)[0]


def test_rows_are_people_with_several_faces():
    labels = np.array([0, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 4])
    rows = choose_rows(labels, 100)
    assert sorted(np.bincount(labels[rows], minlength=5).tolist()) == [0, 0, 2, 3, 4]
    assert (choose_rows(labels, 100) == rows).all()
    for limit in range(2, 9):
        counts = np.bincount(labels[choose_rows(labels, limit)])
        assert counts.sum() <= limit and set(counts) <= {0, 2, 3, 4}


def write_people(folder, people, size=112):
    rng = np.random.default_rng(2)
    for person in range(people):
        for shot in range(2):
            path = folder / f"p{person}" / f"{shot}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(rng.integers(0, 256, (size, size, 3), dtype=np.uint8), ".png"))
    return folder


def test_the_command_prints_a_table_and_refuses_what_it_cannot_use(tmp_path, capsys):
    model = str(odd_onnx.write(tmp_path / "m.onnx"))
    faces = str(write_people(tmp_path / "faces", 6))
    more = ["--normalisation", "mean=100+std=50+order=bgr"]
    assert main(["inspect", model, "--faces", faces, "--limit", "20", *more]) == 0
    shown = capsys.readouterr().out
    assert "does not say what it takes" in shown and "12 faces of 6 people" in shown
    for name in (*NORMALISATIONS, more[1]):
        assert f"  {name} " in shown
    assert main(["inspect", model, "--faces", faces, "--normalisation", "imagenat"]) == 2
    assert "Did you mean 'imagenet'" in capsys.readouterr().err
    assert main(["inspect", f"{model}:imagenet,{model}:raw_0_255", "--faces", faces]) == 2
    assert "several networks" in capsys.readouterr().err
    for given, words in (
        (write_people(tmp_path / "small", 6, 64), "64x64, no aligned face of 112x112"),
        (write_people(tmp_path / "few", 3), "fewer than 5 people"),
    ):
        with pytest.raises(KitError, match=words):
            input_trial.read_faces(given, 20)


def test_a_graph_of_bytes_is_given_pixels_alone(tmp_path, capsys):
    from onnx import TensorProto

    model = str(odd_onnx.write(tmp_path / "m.onnx", **odd_onnx.cast_first(TensorProto.UINT8)))
    faces = str(write_people(tmp_path / "faces", 6))
    assert main(["inspect", model, "--faces", faces]) == 0
    shown = capsys.readouterr().out
    assert "says that it takes raw_0_255" in shown
    assert "bgr_raw_0_255" in shown and "imagenet" not in shown


@pytest.mark.slow
def test_sface_is_found_to_take_pixels(capsys):
    try:
        for name in ("sface", "orl-faces", "yunet"):
            assets.path(name)
    except KitError as error:
        pytest.skip(str(error))
    assert main(["inspect", "sface", "--limit", "40"]) == 0
    shown = capsys.readouterr().out
    assert "40 faces of 10 people from the embedded ORL faces" in shown
    assert "best: raw_0_255, raw pixels 0..255; d' is" in shown and "grey" in shown
