import struct
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mfr_kit import registry
from mfr_kit.cli import main
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.models.embedders import load_embedder
from mfr_kit.submission import embeddings
from mfr_kit.submission.options import FORMATS, formats
from mfr_kit.submission.sources import open_source


@pytest.fixture
def model(run):
    return load_embedder(run / "model.onnx")


@pytest.mark.parametrize("form", formats())
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 5)),
        elements=st.floats(-1e6, 1e6, width=32),
    )
)
def test_round_trip(form, rows, tmp_path_factory):
    plugin, folder = registry.get(FORMATS, form), tmp_path_factory.mktemp(form)
    names = [f"person {index}/a.b.jpg" for index in range(len(rows))]
    plugin.write(folder / f"f{plugin.SUFFIX}", names, rows)
    assert np.array_equal(plugin.read(folder / f"f{plugin.SUFFIX}", names), rows)


@pytest.mark.parametrize("form", formats())
def test_rows_are_in_the_order_of_the_list_and_of_the_right_kind(form, model, drawn_set, tmp_path):
    plugin, source = registry.get(FORMATS, form), open_source(drawn_set.folder)
    done = embeddings.write_features(model, source, tmp_path / f"f{plugin.SUFFIX}", form)
    found = plugin.read(done.path, source.names)
    faces = np.stack([drawn_set.image(row) for row in range(len(drawn_set))])
    wanted = model.embed(faces)
    if plugin.FLIP:
        wanted = wanted + model.embed(np.ascontiguousarray(faces[:, :, ::-1]))
    if plugin.NORMALISE:
        wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert np.allclose(found, wanted, atol=1e-5)
    assert [item.name for item in tmp_path.iterdir() if item.name.startswith(".")] == []


def test_two_that_write_one_file_wait_for_each_other(model, drawn_set, tmp_path, monkeypatch):
    source = open_source(drawn_set.folder)
    alone = embeddings.write_features(model, source, tmp_path / "alone.npy", "npy")
    real, together = embeddings._append, []

    def append(*given):
        together.append(1)
        assert len(together) == 1
        time.sleep(0.1)
        real(*given)
        together.pop()

    monkeypatch.setattr(embeddings, "_append", append)
    with ThreadPoolExecutor(2) as pool:
        given = (model, source, tmp_path / "f.npy", "npy")
        ends = [pool.submit(embeddings.write_features, *given) for _ in range(2)]
        assert [end.result().rows for end in ends] == [alone.rows] * 2
    assert (tmp_path / "f.npy").read_bytes() == alone.path.read_bytes()


def test_lfr_bytes(tmp_path):
    registry.get(FORMATS, "lfr").write(
        tmp_path / "f.bin", ["a", "b"], np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    )
    assert (tmp_path / "f.bin").read_bytes() == struct.pack("<4i6f", 2, 3, 12, 5, 1, 2, 3, 4, 5, 6)


def test_megaface_bytes(tmp_path):
    registry.get(FORMATS, "megaface").write(
        tmp_path / "out", ["a/b.jpg"], np.array([[1, 2]], np.float32)
    )
    assert (tmp_path / "out" / "a" / "b.jpg_mfrkit.bin").read_bytes() == struct.pack(
        "<4i2f", 2, 1, 4, 5, 1, 2
    )
    for names in (["../b.jpg"], ["/b.jpg"], ["c.jpg", "c.jpg"]):
        with pytest.raises(KitError):
            registry.get(FORMATS, "megaface").write(
                tmp_path / "bad", names, np.ones((len(names), 2), np.float32)
            )


def test_lfr_columns_whose_bytes_wrap_are_refused(tmp_path):
    path = tmp_path / "f.bin"
    path.write_bytes(struct.pack("<4i3f", 1, (1 << 30) + 3, 12, 5, 1, 2, 3))
    with pytest.raises(KitError, match="not that of an LFR matrix"):
        registry.get(FORMATS, "lfr").read(path, ["a"])


def test_megaface_vectors_of_two_lengths_are_refused(tmp_path):
    megaface = registry.get(FORMATS, "megaface")
    names = ["a.jpg", "b.jpg"]
    megaface.write(tmp_path / "out", names, np.ones((2, 3), np.float32))
    other = tmp_path / "out" / "b.jpg_mfrkit.bin"
    other.write_bytes(struct.pack("<4i2f", 2, 1, 4, 5, 1, 2))
    with pytest.raises(KitError, match=r"b\.jpg_mfrkit\.bin: 2 numbers, but 3 in .*a\.jpg"):
        megaface.read(tmp_path / "out", names)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"\2" + data[1:],
        lambda data: data[:9],
    ],
)
def test_a_broken_lfr_file_is_refused(change, tmp_path):
    plugin = registry.get(FORMATS, "lfr")
    plugin.write(tmp_path / "f.bin", ["a"], np.ones((1, 3), np.float32))
    (tmp_path / "f.bin").write_bytes(change((tmp_path / "f.bin").read_bytes()))
    with pytest.raises(KitError, match=r"f\.bin"):
        plugin.read(tmp_path / "f.bin", ["a"])


class Interrupted:
    """An embedder that is stopped after a few batches."""

    def __init__(self, inner, batches):
        self.inner, self.left = inner, batches
        self.fingerprint, self.embedding_size = inner.fingerprint, inner.embedding_size

    def embed(self, faces):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return self.inner.embed(faces)


def test_an_interrupted_run_is_continued_to_the_same_bytes(model, drawn_set, tmp_path):
    source = open_source(drawn_set.folder)  # 48 faces: a batch of 32 and one of 16
    with pytest.raises(KeyboardInterrupt):
        embeddings.write_features(Interrupted(model, 1), source, tmp_path / "f.npy", "npy")
    assert not (tmp_path / "f.npy").exists()
    done = embeddings.write_features(model, source, tmp_path / "f.npy", "npy")
    assert done.resumed_at == 32
    embeddings.write_features(model, source, tmp_path / "whole.npy", "npy")
    assert (tmp_path / "f.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_rows_that_were_spoiled_meanwhile_are_made_again(model, drawn_set, tmp_path):
    source = open_source(drawn_set.folder)
    embeddings.write_features(model, source, tmp_path / "whole.npy", "npy")
    with pytest.raises(KeyboardInterrupt):
        embeddings.write_features(Interrupted(model, 1), source, tmp_path / "f.npy", "npy")
    part = next(tmp_path.glob(".f.npy.*.part"))
    part.write_bytes(bytes(part.stat().st_size))
    done = embeddings.write_features(model, source, tmp_path / "f.npy", "npy")
    assert done.resumed_at == 0
    assert (tmp_path / "f.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert sorted(path.name for path in tmp_path.glob("*.npy*")) == ["f.npy", "whole.npy"]
    assert not list(tmp_path.glob(".*.part*"))


def test_rows_of_another_normalisation_are_not_taken_over(model, drawn_set, tmp_path):
    source, other = open_source(drawn_set.folder), Interrupted(model, 1)
    other.normalisation = "raw_0_255"
    with pytest.raises(KeyboardInterrupt):
        embeddings.write_features(other, source, tmp_path / "f.npy", "npy")
    assert embeddings.write_features(model, source, tmp_path / "f.npy", "npy").resumed_at == 0


def test_a_feature_list_from_any_editor_names_the_same_images(tmp_path):
    names = ["x/a.png", "x/#1.png", "x/Zoë b.png"]
    (tmp_path / "x").mkdir()
    for name in names:
        path = tmp_path / unicodedata.normalize("NFD", name)
        path.write_bytes(encode(np.full((112, 112, 3), 90, np.uint8), ".png"))
    text = f"x\\a.png\r\n# a remark\r\n{tmp_path}/x/#1.png\r\n./x/Zoë b.png \r\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "list.txt").write_bytes(text.encode(encoding))
        with pytest.raises(KitError, match=r"line 3: .*lies outside of"):
            open_source(tmp_path / "list.txt")
        source = open_source(tmp_path / "list.txt", allow_outside=True)
        assert [unicodedata.normalize("NFC", name) for name in source.names] == [
            "x/a.png",
            f"{tmp_path}/x/#1.png",
            "./x/Zoë b.png",
        ]
    (tmp_path / "list.txt").write_text("x/a.png\nx/A.png\n")
    with pytest.raises(KitError, match=r"'x/A\.png' \(line 2; did you mean 'x/a\.png'\?\)"):
        open_source(tmp_path / "list.txt")


def test_a_list_with_a_photo_that_is_not_aligned_is_refused(model, tmp_path):
    for name, size in (("a.png", 112), ("b.png", 120)):
        (tmp_path / name).write_bytes(encode(np.full((size, size, 3), 90, np.uint8), ".png"))
    (tmp_path / "list.txt").write_text("a.png\n# a remark\nb.png\n")
    with pytest.raises(KitError, match=r"b\.png: 120x120"):
        embeddings.write_features(
            model, open_source(tmp_path / "list.txt"), tmp_path / "f.npy", "npy"
        )
    (tmp_path / "list.txt").write_text("a.png\nc.png\n")
    with pytest.raises(KitError, match=r"1 of 2 images are not there: 'c\.png' \(line 2"):
        open_source(tmp_path / "list.txt")


def test_command_line(run, drawn_set, tmp_path, capsys):
    call = [
        "make-submission",
        str(run / "model.onnx"),
        "--track",
        "unconstrained",
        "--out",
        str(tmp_path / "s.zip"),
    ]
    assert main([*call, "--features", str(drawn_set.folder), "--features-format", "lfr"]) == 0
    assert "48 x 64 features" in capsys.readouterr().out
    assert registry.get(FORMATS, "lfr").read(tmp_path / "s.features.bin", []).shape == (48, 64)
    assert main([*call, "--format", "lfr"]) == 2
    assert main([*call, "--features", str(drawn_set.folder), "--format", "lrf"]) == 2
