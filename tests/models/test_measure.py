import pytest

from mfr_kit import registry
from mfr_kit.models.measure import cost_of
from mfr_kit.models.weights import BACKBONES, build_backbone


def test_a_count_by_hand_agrees():
    """SFace, convolution by convolution: twice kernel x inputs x outputs x positions."""
    total, side, before = 2 * 9 * 3 * 32 * 112 * 112, 112, 32
    for after, stride in (
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *((512, 1),) * 5,
        (1024, 2),
        (1024, 1),
    ):
        side //= stride
        total += 2 * side * side * before * (9 + after)
        before = after
    assert cost_of("sface").flops == total + 2 * 1024 * 49 * 128


# slow, and iresnet50, ir50 and vit-s but deeper or wider
DEEP = {"iresnet100", "iresnet200", "ir101", "ir50", "vit-b", "vit-b8", "vit-l", "vit-s8"}


@pytest.mark.parametrize("name", sorted(set(registry.names(BACKBONES)) - DEEP))
def test_every_backbone_is_counted_and_grows_with_width(name):
    half, whole = cost_of(name, 64, 0.5), cost_of(name, 64)
    assert whole.embedding_size == 64
    assert half.flops < whole.flops and half.parameters < whole.parameters
    assert whole.size_mib == pytest.approx(whole.parameters * 4 / 2**20, rel=0.03)


def test_the_parameters_are_those_of_the_network():
    assert cost_of("mobilefacenet").parameters == sum(
        p.numel() for p in build_backbone("mobilefacenet").parameters()
    )
