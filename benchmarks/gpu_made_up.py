"""Made-up faces, networks and banks for benchmarks/gpu.py."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.models import torch_embedder
from mfr_kit.models.weights import build_backbone
from mfr_kit.training import optimise
from mfr_kit.training.checkpoint import State
from mfr_kit.training.networks import put
from mfr_kit.training.options import distill_options
from mfr_kit.training.prepare import Relations
from mfr_kit.training.ranks import Ranks
from mfr_kit.training.scaling import make_scaler
from mfr_kit.training.step import Stepper
from mfr_kit.training.teacher import mining
from mfr_kit.training.teacher.bank import Bank
from mfr_kit.training.views.loader import ViewBatch


class Pictures:
    """Faces as JPEG bytes in memory, decoded on demand: what a bank or `embed_set` reads."""

    name = "made up"

    def __init__(self, count: int, distinct: int = 64) -> None:
        rng = np.random.default_rng(0)
        small = rng.integers(0, 256, (distinct, 14, 14, 3), dtype=np.uint8)
        self._data = [
            cv2.imencode(".jpg", one.repeat(8, 0).repeat(8, 1), [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
            for one in small
        ]
        self._count, self.fingerprint = count, f"made up {count} {distinct}"
        self.keys = np.array([f"face {row}" for row in range(count)], object)

    def __len__(self) -> int:
        return self._count

    def image(self, index: int) -> np.ndarray:
        """(112, 112, 3) uint8 RGB."""
        return cv2.imdecode(self._data[index % len(self._data)], cv2.IMREAD_COLOR_RGB)


class MadeUpEmbedder(torch_embedder.TorchEmbedder):
    """A backbone with random weights, as `load_embedder` would return it."""

    def __init__(
        self,
        student: str,
        device: torch.device,
        precision: str = "float32",
        size: int = 128,
        width: float = 1.0,
    ) -> None:
        self.name, self.fingerprint, self.lineage = student, f"made up {student} {size}", None
        self.embedding_size = size
        self._put(network(student, size, width), device, precision)


def network(name: str, size: int, width: float = 1.0) -> nn.Module:
    """A backbone whose batch norms have seen something, in eval mode, the same every time."""
    torch.manual_seed(0)
    model = build_backbone(name, size, width).train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None  # statistics of what is shown here, and nothing else
    faces = 2 * torch.rand(16, 3, 14, 14) - 1
    with torch.no_grad():
        model(faces.repeat_interleave(8, 2).repeat_interleave(8, 3))
    return model.eval()


def options(**changes):
    """Options of a run of which only the step happens."""
    usual = {"data": Path("-"), "out": Path("-"), "student": "mobilefacenet", "optimiser": "sgd"}
    return distill_options()(**{**usual, **changes})


def make_state(chosen, size: int, classes: int, device: torch.device) -> State:
    """Student, head and optimiser on a device, the same every time."""
    student = network(chosen.student, size, chosen.width).train()
    torch.manual_seed(1)
    head = chosen.chosen_method.make_head(classes, size)
    kept = nn.Identity() if head is None else head
    student, kept = put(student, device, chosen.channels_last), kept.to(device)
    optimiser = optimise.make_optimiser(student, [kept], chosen.descent, chosen.layers)
    scaler = make_scaler(device, chosen.precision)
    return State(student, nn.Identity(), kept, optimiser, {}, None, scaler)


def make_stepper(
    chosen, state: State, rows: np.ndarray, labels: np.ndarray, device: torch.device, folder: Path
) -> Stepper:
    """A step over a made-up bank of (N, 2, D) rows."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "embeddings.npy", rows)
    bank = Bank(folder, np.load(folder / "embeddings.npy", mmap_mode="r"))
    prototypes = mining.prototypes(bank, labels).to(device)
    stored = bank.placed(device, chosen.bank_on)
    method = chosen.chosen_method
    own, partners = method.own, None
    if method.mines:
        draw = mining.Draw(own.partners, own.mining, own.neighbours, 0)
        partners = mining.Partners(stored, labels, prototypes, draw)

    relations = Relations(stored, labels, prototypes, partners)
    rules = (chosen.numerics, chosen.targets, chosen.regularisation)
    return Stepper(state.student, method, relations, None, None, Ranks(), device, *rules)


def make_views(batch: int, faces: int) -> ViewBatch:
    """Views as the loader hands them over."""
    rng = np.random.default_rng(1)
    images = torch.from_numpy(rng.integers(0, 256, (batch, 112, 112, 3), dtype=np.uint8))
    chosen = rng.permutation(faces)[:batch]
    zeros = np.zeros(batch, np.int64)
    return ViewBatch(images, chosen, zeros, rng.integers(0, 2, batch), zeros)


def embeddings_of(count: int, size: int, per_person: int = 8) -> Faces:
    """Unit embeddings of people about as far apart as a good recogniser's."""
    rng = np.random.default_rng(0)
    people = np.arange(count) // per_person
    wide = rng.standard_normal((count, size), np.float32) * np.float32(1.1)
    wide += rng.standard_normal((people[-1] + 1, size), np.float32)[people]
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    names = np.array([f"p{number:07d}" for number in people], object)
    photos = np.array([f"f{number:07d}" for number in range(count)], object)
    empty = np.full(count, "", object)
    return Faces(wide, names, photos, empty, np.ones(count, bool), photos, empty, photos)
