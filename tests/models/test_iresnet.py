import pytest
import torch

from mfr_kit.errors import KitError
from mfr_kit.models.weights import build_backbone, load_state

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    100: (3, 13, 30, 3),
    200: (6, 26, 60, 6),
}
# published file sizes (91.7, 130.2, 166.3, 248.6 MB) / 4 bytes
MILLIONS = {18: 24.0, 34: 34.1, 50: 43.6, 100: 65.2}


def published_state(depth):
    """Write out the names and shapes of arcface_torch's checkpoints, independently of our
    classes.
    """

    def norm(name, size):
        return {
            f"{name}.{kind}": (size,) for kind in ("weight", "bias", "running_mean", "running_var")
        } | {f"{name}.num_batches_tracked": ()}

    shapes = {"conv1.weight": (64, 3, 3, 3), **norm("bn1", 64), "prelu.weight": (64,)}
    before = 64
    for stage, (channels, repeats) in enumerate(
        zip((64, 128, 256, 512), BLOCKS[depth], strict=True), start=1
    ):
        for block in range(repeats):
            at = f"layer{stage}.{block}"
            shapes |= norm(f"{at}.bn1", before)
            shapes[f"{at}.conv1.weight"] = (channels, before, 3, 3)
            shapes |= norm(f"{at}.bn2", channels)
            shapes[f"{at}.prelu.weight"] = (channels,)
            shapes[f"{at}.conv2.weight"] = (channels, channels, 3, 3)
            shapes |= norm(f"{at}.bn3", channels)
            if block == 0:
                shapes[f"{at}.downsample.0.weight"] = (channels, before, 1, 1)
                shapes |= norm(f"{at}.downsample.1", channels)
            before = channels
    shapes |= (
        norm("bn2", 512) | {"fc.weight": (512, 512 * 49), "fc.bias": (512,)} | norm("features", 512)
    )
    return {
        key: torch.zeros(shape, dtype=torch.int64 if key.endswith("tracked") else torch.float32)
        for key, shape in shapes.items()
    }


@pytest.mark.parametrize("depth", [18, 50])
def test_published_checkpoints_load_as_they_are(depth):
    model = build_backbone(f"iresnet{depth}")
    load_state(model, published_state(depth), "published")
    assert model.fc.weight.abs().sum() == 0


@pytest.mark.parametrize("depth", list(BLOCKS))
def test_every_depth_has_the_published_names_and_size(depth):
    with torch.device("meta"):
        model = build_backbone(f"iresnet{depth}")
        wanted = {key: value.shape for key, value in published_state(depth).items()}
    assert {key: value.shape for key, value in model.state_dict().items()} == wanted
    if depth in MILLIONS:
        assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(
            MILLIONS[depth], rel=0.01
        )


def test_a_width_that_must_be_a_slip_is_refused():
    with pytest.raises(KitError, match="--width"):
        build_backbone("iresnet18", width=100)


@pytest.mark.parametrize("name", ["iresnet18", "ir18"])
def test_no_width_makes_a_stage_of_8_channels(name):
    model = build_backbone(name, 32, 0.05)
    assert {
        len(norm.weight) for norm in model.modules() if isinstance(norm, torch.nn.BatchNorm2d)
    } == {
        16,
        24,
    }
