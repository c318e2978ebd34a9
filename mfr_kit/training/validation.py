"""The figure the best checkpoint is chosen by: 0.25 TAR of masked against clean + 0.75 TAR of
clean against clean.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.faces import Faces, from_set
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.rates import CLAIM, at_far
from mfr_kit.evaluation.verification.scores import score
from mfr_kit.models.preprocess import input_of_network, to_tensor
from mfr_kit.progress import Progress
from mfr_kit.seeding import key_of, rng_for
from mfr_kit.training.ranks import ALONE, Ranks
from mfr_kit.training.views.view import ViewRecipe, Views

FARS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
RECIPE = ViewRecipe(mask_ratio=1.0, drift=1.0, drift_clean=0.0, photometric=0.0, mirror=0.0)
SEED = 20_211  # the validation's masks are the same in every run, whatever its own seed


@dataclass(frozen=True)
class Result:
    """TARs at `far`, and the score 0.25 masked + 0.75 clean."""

    clean: float
    masked: float
    far: float

    @property
    def score(self) -> float:
        """The challenge's weights."""
        return 0.25 * self.masked + 0.75 * self.clean


class Validation:
    """Measure students on people they were not trained on.

    The masked faces are the set's own (twins, or really masked photographs; a twin whose face was
    not found counts as a non-match); a set without any gets one drawn on every clean face, with the
    measured alignment drift, the same every time.

    `about` names what the figures belong to: the set, how many people, whose masks.

    Args:
        faces: clean and masked faces of the validation people.
        load_masks: gives the mask library, called only if masks must be drawn.
        batch: faces a forward pass.
    """

    def __init__(self, faces: FaceSet, load_masks: Callable, batch: int = 64):
        self.faces, self.batch = faces, batch
        self.draws_masks = not faces.masked.any()
        self._views = Views(RECIPE, load_masks()) if self.draws_masks else None
        dummy = np.ones((len(faces), 1), np.float32)
        clean, masked = self._sides(dummy, dummy)
        self.about = {
            "set": faces.name,
            "people": faces.identity_count,
            "masks": "drawn here" if self.draws_masks else "the set's own",
        }
        self.far = _smallest_far(
            min(Pairs(clean).count.impostor, Pairs(masked, clean).count.impostor), faces.name
        )

    def measure(self, student: nn.Module) -> Result:
        """Embed every face with the student as it is (put it in eval mode first) and compare."""
        return self.compare(*self.embed(functools.partial(_forward, student)))

    def measure_together(self, student: nn.Module, ranks: Ranks) -> Result | None:
        """Do what `measure` does, each rank embedding its part of the faces; None comes back to all
        but the first.

        Args:
            student: the same on all ranks.
            ranks: all of which call this.
        """
        embeddings = self.embed(functools.partial(_forward, student), ranks)
        return self.compare(*embeddings) if ranks.first else None

    def embed(
        self, model: Callable[[np.ndarray], np.ndarray], ranks: Ranks = ALONE
    ) -> tuple[np.ndarray, np.ndarray]:
        """(N, D) embeddings of the faces as they lie in the set, and with masks drawn on them (the
        same again if the set has its own).

        Args:
            model: (B, 112, 112, 3) uint8 RGB -> (B, D).
            ranks: among which the faces are divided; all get all embeddings.
        """
        sides = [self.faces.image, *([self._masked] if self.draws_masks else [])]
        rows = ranks.share_of(len(self.faces))
        found = []
        total = len(sides) * len(rows)
        with Progress(total, "validation", "faces", shown=ranks.first) as progress:
            own_parts = [self._run(model, read, rows, progress) for read in sides]
        for own in own_parts:
            found.append(ranks.gather(torch.from_numpy(own)).numpy()[: len(self.faces)])
        return found[0], found[-1]

    def _run(
        self,
        model: Callable[[np.ndarray], np.ndarray],
        read: Callable[[int], np.ndarray],
        rows: Sequence[int],
        progress: Progress,
    ) -> np.ndarray:
        """Embed some faces, a batch at a time."""
        parts = []
        for images in self._images(read, rows):
            parts.append(model(images))
            progress.advance(len(images))
        return np.concatenate(parts)

    def compare(self, first: np.ndarray, second: np.ndarray) -> Result:
        """Measure what `embed` gave."""
        clean, masked = self._sides(first, second)
        return Result(_tar(Pairs(clean), self.far), _tar(Pairs(masked, clean), self.far), self.far)

    def _sides(self, first: np.ndarray, second: np.ndarray) -> tuple[Faces, Faces]:
        everything = from_set(first, self.faces)
        if not self.draws_masks:
            return everything.under("nonmask"), everything.under("mask")
        masked = from_set(second, self.faces)
        return everything, replace(masked, conditions=np.full(len(masked), "mask"))

    def _masked(self, index: int) -> np.ndarray:
        assert self._views is not None  # only where masks are drawn
        rng = rng_for(SEED, key_of(str(self.faces.keys[index])))
        return self._views.draw(self.faces.image(index), self.faces.points(index), rng).image

    def _images(
        self, read: Callable[[int], np.ndarray], rows: Sequence[int]
    ) -> Iterator[np.ndarray]:
        for start in range(0, len(rows), self.batch):
            yield np.stack([read(index) for index in rows[start : start + self.batch]])


def _forward(student: nn.Module, images: np.ndarray) -> np.ndarray:
    device = next(student.parameters()).device
    with torch.inference_mode():
        pixels = to_tensor(torch.from_numpy(images).to(device), input_of_network(student))
        return student(pixels).float().cpu().numpy()


def _tar(pairs: Pairs, far: float) -> float:
    return at_far(score(pairs, [far]), far).true_accepts / pairs.count.genuine


def _smallest_far(impostors: int, name: str) -> float:
    for far in FARS:
        if impostors * far >= CLAIM:
            return far
    raise KitError(
        f"the validation people of {name} give {impostors:,} impostor comparisons, too few for a "
        "TAR: name more, or leave --val-people out"
    )
