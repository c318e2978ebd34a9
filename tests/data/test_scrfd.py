"""A user's own SCRFD: a file of any kind that InsightFace exports, decoded as its anchors say."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mfr_kit.data.alignment.detect import load_detector
from mfr_kit.errors import KitError
from tests.data.made_up_detector import COLOURS, WHITE, expected, paint, write_scrfd

# stride, anchor, colour, column, row: far enough apart for every box to stay
SPOTS = (
    (8, 0, COLOURS[8], 10, 12),
    (8, 1, WHITE, 60, 20),
    (16, 0, COLOURS[16], 10, 30),
    (32, 0, COLOURS[32], 14, 13),
)


def painted(side: int = 640) -> np.ndarray:
    image = np.zeros((side, side, 3), np.uint8)
    for stride, _, colour, column, row in SPOTS:
        paint(image, stride, colour, column, row)
    return image


def check(found: list, scale: float = 1.0) -> None:
    """Each spot is found once, where its stride, anchor and colour say."""
    assert len(found) == len(SPOTS)
    for stride, anchor, colour, column, row in SPOTS:
        box, points = expected(stride, anchor, colour, column, row)
        nearest = min(found, key=lambda face: np.abs(face.box - scale * box).max())
        np.testing.assert_allclose(nearest.box, scale * box, atol=1e-3)
        np.testing.assert_allclose(nearest.landmarks, scale * points, atol=1e-3)
        assert nearest.score > 0.99


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("side", [None, 640])
def test_a_single_file_finds_every_stride_and_anchor(tmp_path, side, rank):
    file = write_scrfd(tmp_path / "det.onnx", side, rank=rank)
    detector = load_detector("insightface", file)
    check(detector.detect(painted()))
    (face, *_) = detector.detect(painted())
    assert detector.refine(painted(), face) is face  # a file has no dense landmarks


def test_a_larger_photograph_comes_back_in_its_own_pixels(tmp_path):
    detector = load_detector("insightface", write_scrfd(tmp_path / "det.onnx"))
    check(detector.detect(painted().repeat(2, axis=0).repeat(2, axis=1)), scale=2.0)


def test_a_pack_with_a_manifest_says_what_its_files_do(tmp_path):
    write_scrfd(tmp_path / "pack" / "parts" / "finder.onnx")
    preprocessing = {"mean": 127.5, "std": 128.0}
    manifest = {
        "manifest_version": 2,
        "model_id": "made_up",
        "license": "MODEL.LICENSE",
        "tasks": {"detection": {"file": "parts/finder.onnx", "preprocessing": preprocessing}},
    }
    (tmp_path / "pack" / "MODEL.LICENSE").write_text("made up")
    (tmp_path / "pack" / "manifest.json").write_text(json.dumps(manifest))
    check(load_detector("insightface", tmp_path / "pack").detect(painted()))
    (tmp_path / "pack" / "manifest.json").write_text("{}")
    with pytest.raises(KitError, match="no detector among"):
        load_detector("insightface", tmp_path / "pack")


def test_what_has_no_five_landmarks_is_refused(tmp_path):
    boxes = write_scrfd(tmp_path / "boxes.onnx", kinds=("score", "box"))
    with pytest.raises(KitError, match=r"boxes\.onnx: its detector finds boxes without the five"):
        load_detector("insightface", boxes)
    mixed = write_scrfd(tmp_path / "mixed.onnx", interleaved=True)
    with pytest.raises(KitError, match=r"mixed\.onnx: 9 output\(s\) of widths \[1, 4, 10, 1"):
        load_detector("insightface", mixed)
    other = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 112, 112])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 112, 112])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one", [other], [out])
    onnx.save(helper.make_model(graph, ir_version=8), tmp_path / "one.onnx")
    with pytest.raises(KitError, match=r"one\.onnx: 1 output\(s\) of widths \[112\]"):
        load_detector("insightface", tmp_path / "one.onnx")


def test_a_file_that_is_not_there_or_broken_is_said(tmp_path):
    file = write_scrfd(tmp_path / "det.onnx")
    with pytest.raises(KitError, match=r"no such file\. Did you mean '.*det\.onnx'"):
        load_detector("insightface", tmp_path / "dett.onnx")
    file.write_bytes(b"no model")
    with pytest.raises(KitError, match=r"det\.onnx: insightface cannot load this file"):
        load_detector("insightface", file)
    write_scrfd(tmp_path / "antelopev2" / "antelopev2" / "det.onnx")
    with pytest.raises(KitError, match=r"one folder deeper: --detector-model .*v2/antelopev2"):
        load_detector("insightface", tmp_path / "antelopev2")


def photographs() -> list[np.ndarray]:
    """Photographs of several sizes: a painted one, its enlargement, a part of it, and none."""
    image = painted()
    doubled = image.repeat(2, axis=0).repeat(2, axis=1)
    return [image, doubled, image[200:500, :420].copy(), np.zeros((50, 90, 3), np.uint8), image]


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("side", [None, 640])
@pytest.mark.parametrize("batch", [1, "N"])
def test_several_photographs_at_once_have_the_faces_that_each_has_alone(
    tmp_path, side, rank, batch
):
    file = write_scrfd(tmp_path / "det.onnx", side, rank=rank, batch=batch)
    detector, images = load_detector("insightface", file), photographs()
    together = detector.detect_many(images)
    assert [len(found) for found in together] == [4, 4, len(together[2]), 0, 4]
    check(together[0])
    check(together[1], scale=2.0)
    for image, found in zip(images, together, strict=True):
        alone = detector.detect(image)
        assert len(alone) == len(found)
        for one, many in zip(alone, found, strict=True):
            np.testing.assert_allclose(many.box, one.box, atol=1e-3)
            np.testing.assert_allclose(many.landmarks, one.landmarks, atol=1e-3)
            assert abs(many.score - one.score) < 1e-5
    assert together[2]


def test_a_network_that_mixes_its_pictures_up_is_refused(tmp_path):
    file = write_scrfd(tmp_path / "det.onnx")
    model = onnx.load(file)
    # the mean over the batch: of one picture nothing, of two a mixture
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == "image":
                node.input[place] = "mixed"
    mean = helper.make_node("ReduceMean", ["image"], ["mean"], axes=[0], keepdims=1)
    add = helper.make_node("Add", ["image", "mean"], ["mixed"])
    nodes = [mean, add, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, file)
    detector = load_detector("insightface", file)
    assert len(detector.detect_many([painted()])) == 1  # one is no batch
    with pytest.raises(KitError, match=r"one photograph at a time \(a batch differs by"):
        detector.detect_many([painted(), painted()])


def test_yunet_answers_for_several_photographs_in_their_order():
    detector = load_detector()
    images = [np.zeros((64, 64, 3), np.uint8), np.full((80, 70, 3), 9, np.uint8)]
    assert detector.detect_many(images) == [[], []]
    assert load_detector(robust=True).detect_many(images[:1]) == [[]]
