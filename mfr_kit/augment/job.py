"""What an `augment` run is to do, as plain values that another process or machine can be sent."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mfr_kit import __version__
from mfr_kit.augment.options import AugmentOptions, parse_share
from mfr_kit.augment.selection import Selection, share_of_people
from mfr_kit.data.alignment.detect import choose_provider, why_one_by_one
from mfr_kit.data.alignment.face_choice import PROMINENT
from mfr_kit.masks import library
from mfr_kit.options import as_dict, names_affecting
from mfr_kit.providers import Provider

_NAME_BYTES = 250  # that leave room for `.part` in a file system's 255


@dataclass(frozen=True)
class Alignment:
    """How a photograph becomes an aligned face."""

    detector: str  # a file of data/detectors
    model: Path | None  # the detector's own, where it is not the usual one
    robust: bool  # the median landmarks of several looks
    upright: bool  # turn photographs that lie on their side or upside down
    aligned: bool  # the photographs are aligned faces and stay as they are
    own_landmarks: bool  # look for an aligned face's landmarks, for its mask
    provider: Provider | None = None  # where the detector runs; None for the CPU
    faces: str = PROMINENT  # which of several: a rule of `pick_faces`
    batch: int = 1  # photographs that the detector is shown at once


@dataclass(frozen=True)
class Twins:
    """Which faces get a masked twin, and what is drawn on it."""

    ratio: float  # share of the faces, 0..1
    seed: int
    masks: list[str] | None  # looks or kinds; None for the whole mix
    folder: Path | None  # the library; None for the kit's own
    on_photo: bool  # drawn on the photograph, which is detected again; else on the face
    own_ratios: Mapping[str, float] = field(default_factory=dict)  # of people with another share


@dataclass(frozen=True)
class Target:
    """The face set that is written."""

    dst: Path
    suffix: str  # of the faces: ".jpg" or ".png"
    in_records: bool  # images in .rec files instead of files below faces/
    shards: int  # parts of people that can be worked at apart

    @property
    def building(self) -> Path:
        """Where the set is put together before it is moved to `dst`."""
        name = self.dst.name
        if len(os.fsencode(name)) > _NAME_BYTES:
            mark = hashlib.blake2b(os.fsencode(name), digest_size=5).hexdigest()
            name = f"{os.fsencode(name)[: _NAME_BYTES - 11].decode(errors='ignore')}~{mark}"
        return self.dst.with_name(f"{name}.part")


@dataclass(frozen=True)
class Job:
    """One run: all that its shards have in common. Equal jobs give equal bytes."""

    selection: Selection
    alignment: Alignment
    twins: Twins
    target: Target
    about: dict[str, Any]  # what faceset.json says of it (JSON-able)


def job_of(options: AugmentOptions, say: Callable[[str], None] = lambda line: None) -> Job:
    """Take apart what the user asked for, by subject.

    Args:
        options: the command's.
        say: is told where the detector runs, where `--device` does not say it by itself.
    Raises:
        KitError: a device that onnxruntime does not have, or a list of --ratio-people that names
            somebody twice or somebody who is not there.
    """
    provider = None
    if options.detect or not options.aligned:
        provider, line = choose_provider(options.detector, options.device)
        one_by_one = why_one_by_one(options.detector) if options.detect_batch > 1 else ""
        for said in filter(None, (line, one_by_one)):
            say(said)
    selection = Selection(
        src=options.src,
        level=options.level,
        people=options.people,
        exclude=options.exclude,
        allow_unknown=options.allow_unknown,
    )
    alignment = Alignment(
        detector=options.detector,
        model=options.detector_model,
        robust=options.alignment == "robust",
        upright=options.upright,
        aligned=options.aligned,
        own_landmarks=options.detect,
        provider=provider,
        faces=options.faces,
        batch=options.detect_batch,
    )
    shares = [parse_share(text) for text in options.ratio_people or []]
    twins = Twins(
        options.ratio,
        options.seed,
        options.masks,
        options.mask_folder,
        options.draws_on_photo,
        share_of_people(selection, shares),
    )
    target = Target(options.dst, f".{options.image}", options.format == "rec", options.shards)
    # the options that affect a face, for faceset.json
    names = names_affecting(AugmentOptions, "result")
    chosen = {name: value for name, value in as_dict(options).items() if name in names}
    about = {
        "kit_version": __version__,
        "source": options.src.resolve().name,
        "options": {**chosen, "mask_on": "photo" if options.draws_on_photo else "crop"},
    }
    if options.mask_folder is not None:
        about["mask_library"] = library.fingerprint(options.mask_folder)
    if twins.own_ratios:  # people by their share, for want of the lists
        counts = Counter(f"{share:g}" for share in twins.own_ratios.values())
        about["ratio_people"] = dict(sorted(counts.items()))
    return Job(selection, alignment, twins, target, about)
