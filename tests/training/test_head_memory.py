"""What a head takes of a rank's memory: the sums, and the tensors that are really there."""

import weakref
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mfr_kit.losses import _margin, kd
from mfr_kit.losses._sharded_head import ShardedHead
from mfr_kit.losses._shards import ClassShard, divergence
from mfr_kit.training import head_memory
from mfr_kit.training.dry_run import estimate
from mfr_kit.training.settings import HeadSpec

CLASSES, SIZE, BATCH = 2_059_906, 512, 128  # WebFace42M
SHARED = HeadSpec(sharded=True)
GUIDE = Path(__file__).parents[2] / "docs/guides/scale.md"


class Peak(TorchDispatchMode):
    """Follows the bytes of all that is made inside its block and still alive."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.now = self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided:
                storage = tensor.untyped_storage()
                if storage._cdata not in self.sizes:
                    self.sizes[storage._cdata] = storage.nbytes()
                    self.now += storage.nbytes()
                    self.most = max(self.most, self.now)
                    weakref.finalize(storage, self._free, storage._cdata)
        return made

    def _free(self, key: int) -> None:
        self.now -= self.sizes.pop(key, 0)


def peak_mib(how: HeadSpec, classes: int, size: int, faces: int) -> float:
    head = _margin.build("arcface", classes, size)
    if how.sharded:
        head = ShardedHead(head, ClassShard(classes), negatives=how.negatives)
        head.begin(0)
    student = torch.randn(faces, size, requires_grad=True)
    labels = torch.arange(faces) % classes
    with Peak() as peak:
        head(student, labels).backward()
    return peak.most / 2**20


@pytest.mark.parametrize("how", [HeadSpec(), SHARED, HeadSpec(True, 0.1)])
def test_the_copies_that_are_counted_are_those_alive_at_the_peak(how):
    """Once with logits far larger than rows, once with rows far larger than logits."""
    for shape in ((20_000, 4, 400), (200_000, 64, 2)):
        classes, size, faces = shape
        counted = head_memory.head_memory(classes, size, faces, 1, how, "sgd")
        made = counted.gradient + counted.logits + counted.work
        assert peak_mib(how, *shape) == pytest.approx(made, rel=0.1)


@pytest.mark.parametrize("how", [HeadSpec(), SHARED])
@pytest.mark.parametrize("shape", [(20_000, 4, 400), (200_000, 64, 2)])
def test_prototypes_and_the_logits_of_both_sides_are_what_kd_takes(how, shape):
    classes, size, faces = shape
    prototypes, teacher = torch.randn(classes, size), torch.randn(faces, size)
    student = torch.randn(faces, size, requires_grad=True)
    with Peak() as peak:  # which counts the prototypes when they are first looked at
        if how.sharded:
            loss = divergence(student, teacher, prototypes, 4.0, ClassShard(classes))
        else:
            loss = kd.distillation_loss(*(64 * x @ prototypes.T for x in (student, teacher)))
        loss.backward()
    counted = head_memory.head_memory(classes, size, faces, 1, how, "sgd", trained=False)
    assert peak.most / 2**20 == pytest.approx(counted.total, rel=0.1)
    assert counted.gradient == counted.optimiser == counted.work == 0


@pytest.mark.parametrize("world", [8, 16, 64])
@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_weights_and_moments_of_two_million_people_are_those_of_fake_tensors(world, optimiser):
    counted = head_memory.head_memory(CLASSES, SIZE, BATCH, world, SHARED, optimiser)
    with FakeTensorMode():
        head = ShardedHead(
            _margin.build("cosface", CLASSES, SIZE), ClassShard(CLASSES, world - 1, world)
        )
        kind = torch.optim.SGD if optimiser == "sgd" else torch.optim.AdamW
        descent = kind(
            head.parameters(), lr=0.1, **({"momentum": 0.9} if kind is torch.optim.SGD else {})
        )
        head.weight.grad = torch.zeros_like(head.weight)
        descent.step()
        moments = [value for value in descent.state[head.weight].values() if value.ndim == 2]

        def mib(tensors) -> float:
            return sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 2**20

        assert mib([head.weight]) == pytest.approx(counted.head, rel=1e-4)
        assert mib([head.weight.grad]) == pytest.approx(counted.gradient, rel=1e-4)
        assert mib(moments) == pytest.approx(counted.optimiser, rel=1e-4)


@pytest.mark.parametrize("world", [8, 16, 64])
@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_a_shard_takes_its_part_and_a_tenth_of_the_whole(world, optimiser):
    """With the copies in work counted on both sides, and without them."""
    whole = head_memory.head_memory(CLASSES, SIZE, BATCH, 1, HeadSpec(), optimiser)
    shard = head_memory.head_memory(CLASSES, SIZE, BATCH, world, SHARED, optimiser)
    few = head_memory.head_memory(CLASSES, SIZE, BATCH, world, HeadSpec(True, 0.1), optimiser)
    assert shard.total <= (1 / world + 0.1) * whole.total
    kept = shard.total - shard.work
    assert kept <= (1 / world + 0.1) * (whole.total - whole.work)
    assert few.total < 0.5 * shard.total


def test_the_table_says_which_gpu_is_too_small():
    table = head_memory.tabulate(CLASSES, SIZE, BATCH, (8, 64), HeadSpec(), "sgd")
    lines = {line[:20].strip(): line for line in table.splitlines()}
    assert lines["whole, any"].endswith("100.0%  16, 24")
    assert lines["sharded, 8"].endswith("  -") and "--negatives 0.1, 64" in lines
    assert "sharded, 64" not in head_memory.tabulate(9, 4, 2, (8, 64), HeadSpec(), "sgd")


def test_the_guide_shows_the_table_of_two_million_people():
    table = head_memory.tabulate(CLASSES, SIZE, BATCH, (8, 16, 64), HeadSpec(), "sgd")
    assert table in GUIDE.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_dry_run_prints_it_for_its_own_people(make_options):
    assert "the head's memory" not in estimate(make_options(method="fcd"))
    options = make_options(method="arcface", batch_size=4)
    found = estimate(options)
    assert "the head's memory, MiB a rank:\nhead, ranks " in found
    assert "\nsharded, 1 " in found and "\nsharded, 8 " in found and "sharded, 16" not in found
    found = estimate(make_options(method="kd", batch_size=4))
    assert "\nsharded, 8 " in found and "--negatives" not in found
