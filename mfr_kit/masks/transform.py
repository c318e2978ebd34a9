"""`MaskAugment`: the renderer as an albumentations transform (2.0.8, the last release under the MIT licence).

The only file of the kit that knows albumentations' interface to masks; the renderer itself needs none of it.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from mfr_kit.data.align import SIZE, TEMPLATE
from mfr_kit.errors import KitError
from mfr_kit.masks import library
from mfr_kit.masks.render import render
from mfr_kit.seeding import rng_for

os.environ.setdefault(
    "NO_ALBUMENTATIONS_UPDATE", "1"
)  # it would ask the network for a newer version at import

import albumentations
from albumentations.core.type_definitions import Targets


class MaskAugment(albumentations.DualTransform):
    """Put a drawn mask on the image; keypoints stay, the mask target becomes the coverage.

    Landmarks are the sample's keypoints (5, 68 or 106; use `KeypointParams("xy", remove_invisible=False)`, or the ones outside the
    image vanish); an image of 112x112 without keypoints counts as aligned and uses the template's. The random numbers come from the
    pipeline's generator, or, where the sample brings `mask_seed=(seed, epoch, index)`, from that alone: then a sample looks the same
    whatever the number of workers.

    Args:
        masks: looks or kinds to draw from; by default the whole mix.
        folder: folder of masks; by default the kit's own.
        p: share of the samples that get a mask.
    Raises:
        KitError: an unknown mask, or, when called, landmarks that cannot be used.

    Example:
        points = albumentations.KeypointParams("xy", remove_invisible=False)
        pipeline = albumentations.Compose([MaskAugment(p=0.35)], keypoint_params=points)
        sample = pipeline(image=face, keypoints=landmarks, mask=np.zeros(face.shape[:2], np.uint8))
        masked, coverage = sample["image"], sample["mask"]
    """

    _targets = (Targets.IMAGE, Targets.MASK, Targets.KEYPOINTS)

    def __init__(
        self, masks: list[str] | None = None, folder: str | None = None, p: float = 0.5
    ) -> None:
        super().__init__(p=p)
        self.masks, self.folder = masks, folder
        self._library = library.load(masks, Path(folder) if folder else None)

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw and render once for all targets of a sample."""
        if "mask_seed" in data:
            rng = rng_for(*(int(part) for part in data["mask_seed"]))
        else:
            rng = np.random.default_rng(int(self.random_generator.integers(1 << 62)))
        masked, coverage = render(data["image"], _landmarks(data), self._library.draw(rng), rng)
        return {"masked": masked, "coverage": coverage}

    def apply(self, img: np.ndarray, masked: np.ndarray, **params: Any) -> np.ndarray:
        """Return the image with the mask on."""
        return masked

    def apply_to_mask(self, mask: np.ndarray, coverage: np.ndarray, **params: Any) -> np.ndarray:
        """Return the coverage, (H, W) uint8, in the mask target's place."""
        return coverage.reshape(mask.shape) if mask.ndim == 3 and mask.shape[2] == 1 else coverage

    def apply_to_keypoints(self, keypoints: np.ndarray, **params: Any) -> np.ndarray:
        """Return the keypoints as they are: a mask moves nothing."""
        return keypoints

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        """Name what `to_dict` keeps."""
        return ("masks", "folder")


def _landmarks(data: dict[str, Any]) -> np.ndarray:
    if data.get("keypoints") is not None and len(data["keypoints"]):
        return np.asarray(data["keypoints"], np.float64)[:, :2]
    if data["image"].shape[:2] == (SIZE, SIZE):
        return TEMPLATE
    raise KitError(
        f"an image of shape {data['image'].shape} without keypoints: only {SIZE}x{SIZE} crops have known landmarks"
    )
