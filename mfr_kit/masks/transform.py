"""`MaskAugment`: the renderer as an albumentations transform (2.0.8, the last release under the MIT
licence).

The only file of the kit that knows albumentations' interface to masks; the renderer itself needs
none of it.
"""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from mfr_kit.data.alignment.align import SIZE, TEMPLATE
from mfr_kit.errors import KitError
from mfr_kit.masks import library
from mfr_kit.masks.render import render
from mfr_kit.seeding import rng_for

# It would ask the network for a newer version at import.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations
from albumentations.core.type_definitions import ALL_TARGETS

_PICTURES = {"image": 3, "images": 4, "volume": 4, "volumes": 5}
"""Targets that hold photographs, and how many dimensions they have with their colours."""
_COVERAGES = {"mask": 2, "masks": 3, "mask3d": 3, "masks3d": 4}
"""Targets that become the coverage, and how many dimensions they have without channels."""
_PARTNERS = {
    "mask": ("image", "images", "volume", "volumes"),
    "masks": ("images", "image", "volumes", "volume"),
    "mask3d": ("volume", "images", "image", "volumes"),
    "masks3d": ("volumes", "volume", "images", "image"),
}
"""Whose coverage a target becomes: the first of these that the sample brings."""
_COUNTS = (5, 68, 106)
_SLACK = 1e-3  # how far a float image may overshoot [0, 1] before it counts as normalised


class MaskAugment(albumentations.DualTransform):
    """Put a drawn mask on every photograph of a sample; boxes, keypoints and labels pass through.

    What is drawn per sample is a handful of numbers (`mask`, as in `faces.parquet`, and the seed of
    the grain: JSON-able), and every photograph is rendered anew with them: a replay on another
    photograph masks that one.

    Landmarks are the sample's keypoints (5, 68 or 106, of any format; use `KeypointParams("xy",
    remove_invisible=False)`, or the ones outside the image vanish). They hold for every photograph
    of the sample that brings none of its own: an additional target `image2` is drawn with the
    additional target `keypoints2`, `left` with `left_keypoints`. Where keypoints were given but not
    all of them are left after a crop, nothing is drawn. A 112x112 crop of a sample without
    keypoints counts as aligned and uses the template's.

    The random numbers come from the pipeline's generator, or, where the sample brings
    `mask_seed=(seed, epoch, index)`, from that alone: then a sample looks the same whatever the
    number of workers.

    Targets:
        image, images, volume, volumes: (..., H, W, 3) RGB, uint8 or float in [0, 1] (before
            Normalize); each slice is drawn on by itself, all with the same mask.
        mask, masks, mask3d, masks3d: replaced by the coverage of the photograph they belong to
            (`mask2` to `image2`), in their own shape and type: 0..255, or 0..1 in floats, or yes
            from one half on in booleans.
        bboxes, keypoints: as they are.

    Args:
        masks: looks or kinds to draw from; by default the whole mix.
        folder: folder of masks; by default the kit's own.
        p: share of the samples that get a mask, 0..1.
    Raises:
        KitError: an unknown mask, p out of range, or, when called, a photograph or landmarks that
            cannot be used.

    Example:
        >>> import albumentations
        >>> import numpy as np
        >>> from mfr_kit.masks import drawn_heads
        >>> photo, landmarks = drawn_heads.draw(160)
        >>> points = albumentations.KeypointParams("xy", remove_invisible=False)
        >>> pipeline = albumentations.Compose([mk.MaskAugment(p=1.0)], keypoint_params=points)
        >>> empty = np.zeros(photo.shape[:2], np.uint8)
        >>> sample = pipeline(image=photo, keypoints=landmarks, mask=empty)
        >>> masked, coverage = sample["image"], sample["mask"]
        >>> masked.shape, coverage.shape, bool(coverage.max() > 0)
        ((160, 160, 3), (160, 160), True)
    """

    _targets = ALL_TARGETS

    def __init__(
        self,
        masks: list[str] | None = None,
        folder: str | Path | None = None,
        p: float = 0.5,
    ) -> None:
        if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
            raise KitError(f"MaskAugment: p is a share between 0 and 1, not {p!r}")
        super().__init__(p=p)
        self.masks = [masks] if isinstance(masks, str) else masks and list(masks)
        self.folder = None if folder is None else str(folder)
        self._library = library.load_cached(self.masks, self.folder)
        self._available_keys.add("mask_seed")

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw what a sample wears: `mask`, see `variation.draw`, and `grain`, the seed of the
        grain; no pixels.
        """
        if data.get("mask_seed") is not None:
            rng = rng_for(*_seeds(data["mask_seed"]))
        else:
            rng = np.random.default_rng(int(self.random_generator.integers(1 << 62)))
        return {
            "mask": self._library.draw(rng).parameters,
            "grain": int(rng.integers(1 << 31)),
        }

    def apply_with_params(
        self, params: dict[str, Any], *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Draw on every photograph of a sample, with its own landmarks, and turn its masks into
        coverages.
        """
        if not isinstance(params.get("mask"), dict) or type(params.get("grain")) is not int:
            raise KitError(
                "MaskAugment: parameters without 'mask' and 'grain' cannot be replayed; were "
                "they saved by another version?"
            )
        roles = {key: self._additional_targets.get(key, key) for key in kwargs}
        result, coverages = dict(kwargs), {}
        for key, role in roles.items():
            if role in _PICTURES and _is_there(kwargs[key]):
                points = kwargs.get(_landmarks_key(key, roles, kwargs))
                result[key], coverages[key] = self._draw(kwargs[key], key, role, points, params)
        for key, role in roles.items():
            if role in _COVERAGES and _is_there(kwargs[key]) and coverages:
                partner = _partner(key, role, coverages)
                result[key] = _as_target(kwargs[key], coverages[partner], key, role)
        return result

    def apply(
        self,
        img: np.ndarray,
        *args: Any,
        mask: dict[str, Any],
        grain: int,
        landmarks: np.ndarray | None = None,
        **params: Any,
    ) -> np.ndarray:
        """Return one photograph with the mask on."""
        return self._draw_slice(img, "image", landmarks, mask, grain)[0]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the library out, up to 60 MB of textures: a copy reads it again."""
        return {name: value for name, value in self.__dict__.items() if name != "_library"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Read the library again."""
        self.__dict__.update(state)
        self._library = library.load_cached(self.masks, self.folder)

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        """Name what `to_dict` keeps."""
        return ("masks", "folder")

    def _draw(
        self, value: Any, key: str, role: str, points: Any, params: dict[str, Any]
    ) -> tuple[Any, np.ndarray]:
        """Draw on each photograph of a target; returns it anew, and its (..., H, W) uint8
        coverage.
        """
        stack = np.asarray(value)
        if stack.ndim != _PICTURES[role] or stack.shape[-1] != 3:
            raise KitError(
                f"'{key}' of shape {stack.shape}: masks are drawn on RGB, {_PICTURES[role]} "
                "dimensions with 3 colours last (grey to RGB: albumentations.ToRGB)"
            )
        slices = stack.reshape(-1, *stack.shape[-3:])
        landmarks = self._usable(points)
        if landmarks is None and points is not None:
            return value, np.zeros(stack.shape[:-1], np.uint8)
        chosen_masks = [
            self._draw_slice(image, key, landmarks, params["mask"], params["grain"])
            for image in slices
        ]
        images = np.stack([image for image, _ in chosen_masks]).reshape(stack.shape)
        coverage = np.stack([covered for _, covered in chosen_masks]).reshape(stack.shape[:-1])
        return list(images) if isinstance(value, list | tuple) else images, coverage

    def _draw_slice(
        self,
        image: np.ndarray,
        key: str,
        landmarks: np.ndarray | None,
        parameters: dict[str, Any],
        grain: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw on one (H, W, 3) photograph of bytes, or of floats in [0, 1], whose uncovered
        pixels stay as they are.
        """
        if landmarks is None and image.shape[:2] != (SIZE, SIZE):
            raise KitError(
                f"'{key}' of shape {image.shape} without keypoints: only {SIZE}x{SIZE} crops "
                "have known landmarks"
            )
        mask = self._library.replay(parameters)
        points = TEMPLATE if landmarks is None else landmarks
        if image.dtype.kind != "f":
            return render(image, points, mask, rng_for(grain))
        if not (image.min() >= -_SLACK and image.max() <= 1 + _SLACK):
            raise KitError(
                f"'{key}' holds floats between {image.min():.3g} and {image.max():.3g}: masks "
                "are drawn on bytes "
                "or on floats in [0, 1]; put MaskAugment before Normalize"
            )
        coded = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
        masked, coverage = render(coded, points, mask, rng_for(grain))
        return np.where(masked != coded, masked / image.dtype.type(255), image), coverage

    def _usable(self, points: Any) -> np.ndarray | None:
        """Take the x and y of keypoints; None where the sample has none, or lost some of them to
        a crop.
        """
        if points is None or len(points) == 0:
            return None
        found = np.asarray(points, np.float64)[:, :2]
        processor = self.processors.get("keypoints")
        if len(found) in _COUNTS or not (processor and processor.params.remove_invisible):
            return found
        warnings.warn(
            f"{len(found)} keypoints are left where 5, 68 or 106 are needed, so no mask is drawn; "
            "with KeypointParams(..., remove_invisible=False) those outside the image stay",
            stacklevel=2,
        )
        return None


def _seeds(given: Any) -> tuple[int, ...]:
    """Take a sample's `mask_seed` as whole numbers."""
    try:
        seeds = tuple(int(part) for part in given)
    except (TypeError, ValueError):
        seeds = ()
    if not seeds or min(seeds) < 0:
        raise KitError(f"mask_seed is (seed, epoch, index), whole numbers >= 0, not {given!r}")
    return seeds


def _is_there(value: Any) -> bool:
    """Tell a target that was given from None and from an empty list."""
    return value is not None and not (isinstance(value, list | tuple) and len(value) == 0)


def _landmarks_key(key: str, roles: dict[str, str], data: dict[str, Any]) -> str:
    """Name the keypoints of a photograph: its own where the sample brings them, else the
    sample's.
    """
    role = roles[key]
    if key != role:
        for own in (key.replace(role, "keypoints"), f"{key}_keypoints", f"keypoints_{key}"):
            if roles.get(own) == "keypoints" and data[own] is not None:
                return own
    return "keypoints"


def _partner(key: str, role: str, coverages: dict[str, np.ndarray]) -> str:
    """Name the photograph that a mask target belongs to: by its name, else the first of the
    sample.
    """
    for picture in _PARTNERS[role]:
        if key.replace(role, picture) in coverages:
            return key.replace(role, picture)
    return next((name for name in _PARTNERS[role] if name in coverages), next(iter(coverages)))


def _as_target(value: Any, coverage: np.ndarray, key: str, role: str) -> Any:
    """Put a coverage into the shape and type of the target it replaces."""
    given = np.asarray(value)
    plain = given.shape[: _COVERAGES[role]]
    if plain[-coverage.ndim :] != coverage.shape:
        raise KitError(
            f"'{key}' of shape {given.shape} does not fit its photographs, whose coverage is "
            f"{coverage.shape}"
        )
    channels = [1] * (given.ndim - len(plain))
    whole = np.broadcast_to(coverage, plain).reshape(*plain, *channels)
    whole = np.array(np.broadcast_to(whole, given.shape), order="C")
    if given.dtype == bool:
        typed = whole > 127
    elif given.dtype.kind == "f":
        typed = whole.astype(given.dtype) / given.dtype.type(255)
    elif given.dtype.kind in "iu" and np.iinfo(given.dtype).max >= 255:
        typed = whole.astype(given.dtype)
    else:
        raise KitError(f"'{key}' of type {given.dtype} cannot hold a coverage of 0..255")
    return list(typed) if isinstance(value, list | tuple) else typed
