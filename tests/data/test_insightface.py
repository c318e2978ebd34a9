"""The insightface detector with a made-up pack: two tiny networks that find a green spot and say
where 106 points are.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest
from insightface.model_zoo import model_zoo
from onnx import TensorProto, helper, numpy_helper

from mfr_kit import cli
from mfr_kit.data.alignment.align import TEMPLATE
from mfr_kit.data.alignment.detect import choose_provider, load_detector
from mfr_kit.data.alignment.detection import pick_face
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.providers import Provider
from tests.models.fake_cuda import CUDA, FakeSession

# the made-up face reaches this many pixels from the spot, in the detector's 640 x 640 input
REACH = 60.0
SHAPE = TEMPLATE - 56  # of its five points around the spot


def constant(name: str, values) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, np.float32), name)


def write_detector(path: Path, landmarks: bool = True) -> None:
    """Scores are high where the mean over 8 x 8 pixels is green; every anchor's box and points
    are the same distances.
    """
    nodes, weights, outputs = (
        [],
        [
            constant("tint", np.reshape([-30, 60, -30] * 2, (2, 3, 1, 1))),
            constant("bias", [-12, -99]),
        ],
        [],
    )
    shapes = [constant("zero", 0)]
    for stride in (8, 16, 32):
        pool = helper.make_node(
            "AveragePool",
            ["image"],
            [f"pool{stride}"],
            kernel_shape=[stride] * 2,
            strides=[stride] * 2,
        )
        tint = "tint" if stride == 8 else f"no_tint{stride}"
        if stride != 8:
            weights.append(constant(tint, np.zeros((2, 3, 1, 1))))
        nodes += [
            pool,
            helper.make_node("Conv", [f"pool{stride}", tint, "bias"], [f"raw{stride}"]),
            helper.make_node("Sigmoid", [f"raw{stride}"], [f"sure{stride}"]),
            helper.make_node("Transpose", [f"sure{stride}"], [f"last{stride}"], perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", [f"last{stride}", "column"], [f"score{stride}"]),
            helper.make_node("Mul", [f"score{stride}", "zero"], [f"nothing{stride}"]),
        ]
        for kind, values in (("box", np.full(4, REACH)), ("points", SHAPE.ravel()))[
            : 1 + landmarks
        ]:
            weights.append(constant(f"{kind}_of{stride}", values / stride))
            nodes.append(
                helper.make_node(
                    "Add", [f"nothing{stride}", f"{kind}_of{stride}"], [f"{kind}{stride}"]
                )
            )
    for kind, width in (("score", 1), ("box", 4), ("points", 10))[: 2 + landmarks]:
        outputs += [
            helper.make_tensor_value_info(f"{kind}{stride}", TensorProto.FLOAT, ["n", width])
            for stride in (8, 16, 32)
        ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "height", "width"])
    column = numpy_helper.from_array(np.array([-1, 1], np.int64), "column")
    save(path, helper.make_graph(nodes, "detector", [image], outputs, [*weights, *shapes, column]))


def write_dense(path: Path) -> None:
    """106 points, all in the middle of the crop but for the five that the mask renderer reads."""
    points = np.zeros((106, 2), np.float32)
    # the crop shows 1.5 boxes of 120 pixels: 90 to each side
    points[[38, 88, 86, 52, 61]] = SHAPE / 90
    image = helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 192, 192])
    output = helper.make_tensor_value_info("fc1", TensorProto.FLOAT, [1, 212])
    nodes = [helper.make_node("Identity", ["points"], ["fc1"])]
    save(
        path,
        helper.make_graph(
            nodes, "dense", [image], [output], [constant("points", points.reshape(1, 212))]
        ),
    )


def save(path: Path, graph: onnx.GraphProto) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path
    )


def photo(x: int, y: int) -> np.ndarray:
    image = np.zeros((640, 640, 3), np.uint8)
    image[y : y + 8, x : x + 8] = (0, 255, 0)
    return image


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("INSIGHTFACE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def pack(home) -> Path:
    write_detector(home / "models" / "made_up" / "det.onnx")
    write_dense(home / "models" / "made_up" / "dense.onnx")
    return home / "models" / "made_up"


def test_points_come_in_the_photographs_pixels_and_order(pack):
    detector, image = load_detector("insightface"), photo(400, 240)
    (found,) = detector.detect(image)
    np.testing.assert_allclose(found.box, [340, 180, 120, 120], atol=0.1)
    np.testing.assert_allclose(found.landmarks, SHAPE + np.array([400, 240]), atol=0.1)
    assert found.score > 0.9
    refined = detector.refine(image, found)
    assert refined.dense.shape == (106, 2)
    np.testing.assert_allclose(refined.dense[[38, 88, 86, 52, 61]], found.landmarks, atol=1.5)
    assert detector.detect(np.zeros((300, 200, 3), np.uint8)) == []


def test_colours_are_not_swapped(pack):
    red = photo(400, 240)[..., [1, 0, 2]]
    assert load_detector("insightface").detect(red) == []


def test_dense_landmarks_reach_the_face_set_aligned_with_the_five(pack, tmp_path):
    (tmp_path / "photos" / "anna").mkdir(parents=True)
    for number, (x, y) in enumerate([(240, 160), (320, 320)]):
        (tmp_path / "photos" / "anna" / f"{number}.png").write_bytes(encode(photo(x, y), ".png"))
    flags = ["--workers", "0", "--ratio", "1", "--mask-on", "crop", "--detector", "insightface"]
    assert cli.main(["augment", str(tmp_path / "photos"), str(tmp_path / "set"), *flags]) == 0
    made = FaceSet.open(tmp_path / "set")
    assert len(made) == 4
    for index in range(4):
        assert made.points(index).shape == (106, 2)
        np.testing.assert_allclose(made.points(index)[[38, 88, 86, 52, 61]], TEMPLATE, atol=1.5)


@pytest.fixture
def played(monkeypatch):
    """An onnxruntime with CUDA that the CPU plays."""
    FakeSession.install(monkeypatch)
    monkeypatch.setattr(model_zoo, "PickableInferenceSession", FakeSession)
    return FakeSession


def test_a_device_runs_detector_and_dense_landmarks(pack, played):
    provider, line = choose_provider("insightface", "cuda:1")
    assert (provider, line) == (Provider("cuda", 1), "")
    detector, image = load_detector("insightface", provider=provider), photo(400, 240)
    assert len(played.opened) >= 2
    for given in played.opened:
        assert given[0][0] == CUDA
        assert given[0][1]["device_id"] == "1"
    (found,) = detector.detect(image)
    np.testing.assert_allclose(found.landmarks, SHAPE + np.array([400, 240]), atol=0.1)


def test_a_detector_that_fell_back_to_the_cpu_is_refused(pack, played, monkeypatch):
    monkeypatch.setattr(FakeSession, "falls_back", True)
    with pytest.raises(KitError, match="cannot start its cuda provider and fell back"):
        load_detector("insightface", provider=Provider())
    said = "--device auto: insightface runs on the CPU"
    assert choose_provider("insightface", "auto") == (None, said)


def test_where_a_detector_runs_is_said_or_refused(monkeypatch, played):
    assert choose_provider("insightface", "cpu") == (None, "")
    line = "--device auto: insightface runs on cuda:0"
    assert choose_provider("insightface", "auto") == (Provider(), line)
    provider, line = choose_provider("yunet", "cuda")
    assert (provider, line.partition(";")[0]) == (
        None,
        "--device cuda: OpenCV runs YuNet on the CPU",
    )
    with pytest.raises(KitError, match="--device mps: no device of a detector"):
        choose_provider("insightface", "mps")
    with pytest.raises(KitError, match="--device cuda:x: give cuda or cuda:N"):
        choose_provider("insightface", "cuda:x")
    FakeSession.install(monkeypatch, offered=["CPUExecutionProvider"])
    with pytest.raises(KitError, match=r"no cuda provider: pip install 'mfr-kit\[gpu\]'"):
        choose_provider("insightface", "cuda")


def test_augment_says_where_its_detector_runs(pack, played, tmp_path, capsys):
    (tmp_path / "photos" / "anna").mkdir(parents=True)
    (tmp_path / "photos" / "anna" / "0.png").write_bytes(encode(photo(240, 160), ".png"))
    flags = ["--workers", "0", "--ratio", "0", "--detector", "insightface", "--device", "auto"]
    assert cli.main(["augment", str(tmp_path / "photos"), str(tmp_path / "set"), *flags]) == 0
    assert "--device auto: insightface runs on cuda:0" in capsys.readouterr().out
    assert len(FaceSet.open(tmp_path / "set")) == 1


def test_robust_alignment_works_with_any_detector(pack):
    detector, image = load_detector("insightface", robust=True), photo(320, 240)
    refined = detector.refine(image, pick_face(detector.detect(image), image.shape[:2]))
    assert refined.dense.shape == (106, 2)
    assert np.abs(refined.landmarks - (SHAPE + np.array([320, 240]))).max() < 40


@pytest.mark.parametrize("name", [None, "antelopev2"])
def test_a_missing_pack_is_an_error_that_says_what_fetches_it_and_nothing_is_downloaded(
    home, name, monkeypatch
):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was used"))
    with pytest.raises(
        KitError, match=f"insightface-cli model.download {name or 'buffalo_l'} --root {home}"
    ):
        load_detector("insightface", None if name is None else Path(name))
    assert not home.exists()


def test_of_several_packs_the_user_names_one(pack):
    write_detector(pack.parent / "other" / "det.onnx")
    with pytest.raises(KitError, match="made_up, other: say which with --detector-model"):
        load_detector("insightface")
    assert load_detector("insightface", Path("other")).detect(photo(80, 80))
    assert load_detector("insightface", pack).detect(photo(80, 80))


def test_what_is_no_pack_is_said(pack, tmp_path):
    with pytest.raises(KitError, match="holds no"):
        load_detector("insightface", tmp_path)
    (pack / "det.onnx").unlink()
    with pytest.raises(KitError, match="no detector among"):
        load_detector("insightface")
    (pack / "det.onnx").write_bytes(b"no model")
    with pytest.raises(KitError, match="cannot load this pack"):
        load_detector("insightface")
    write_detector(pack / "det.onnx", landmarks=False)
    with pytest.raises(KitError, match="without the five landmarks"):
        load_detector("insightface")
