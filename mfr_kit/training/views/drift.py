"""Alignment drift: how far a mask moves a detector's alignment, measured on a face set's own twins,
or drawn from constants.

A drift is a similarity of the aligned frame, kept as four numbers that are all 0 for none, so that
an amount scales them: (logarithm of the scale, rotation in rad, shift of the frame's centre in x
and in y, in pixels).
"""

import hashlib
import math
from pathlib import Path

import numpy as np

from mfr_kit.data.alignment.align import SIZE
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.files import write_text
from mfr_kit.records import read_text

# Measured between the alignment of masked photographs and of the same photographs clean
# (docs/reference/method.md): mean and spread.
SCALE_MEAN, SCALE_SPREAD, ROTATION_DEG, SHIFT_PX = 1.04, 0.10, 4.3, 4.0
WIDEST = 2.5  # spreads at which a draw is cut off
FEWEST = 200  # twins that make a table
COLUMNS = "log_scale,rotation_rad,shift_x_px,shift_y_px"  # first line of a table as a file
CENTRE = (SIZE - 1) / 2 * (1 + 1j)


def choose_table(faces: FaceSet, path: Path | None) -> np.ndarray | None:
    """Read the drifts that masked faces draw from, or measure them.

    Args:
        faces: see `measure_twins`.
        path: a file of `write_table`; None for the twins of `faces`.
    Raises:
        KitError: see `read_table`.
    """
    return measure_twins(faces) if path is None else read_table(path)


def read_table(path: Path) -> np.ndarray:
    """Read (M, 4) float64 drifts.

    Raises:
        KitError: the file cannot be read, has other columns, fewer than `FEWEST` rows, or a value
            that is no number.
    """
    advice = f"a table of drifts begins with the line {COLUMNS}"
    first, *lines = read_text(path, advice).split("\n")
    if first.strip() != COLUMNS:
        raise KitError(f"{path}: {advice}, this file with '{first.strip()[:80]}'")
    rows = []
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        try:
            values = [float(cell) for cell in line.split(",")]
        except ValueError:
            values = []
        if len(values) != 4 or not np.isfinite(values).all():
            raise KitError(f"{path}, line {number}: '{line.strip()[:80]}' is not four numbers")
        rows.append(values)
    if len(rows) < FEWEST:
        raise KitError(f"{path}: {len(rows)} drifts are too few for a table: give {FEWEST} or more")
    return np.array(rows)


def write_table(path: Path, drifts: np.ndarray) -> None:
    """Write (M, 4) drifts for `read_table`."""
    lines = [",".join(f"{value:.6f}" for value in row) for row in drifts]
    write_text(path, "\n".join([COLUMNS, *lines]) + "\n")


def measure_twins(faces: FaceSet) -> np.ndarray | None:
    """Collect the drifts of the twins whose mask was drawn on the photograph, which was then
    detected again.

    Args:
        faces: clean and masked faces of the training people and of nobody else.
    Returns:
        (M, 4) float64 drifts, from the clean face's alignment to the twin's; None with fewer than
        `FEWEST`.
    """
    if faces.about.get("options", {}).get("mask_on") != "photo":
        return None
    clean = faces.clean_rows
    if clean is None:
        return None
    twins = np.flatnonzero(clean >= 0)
    if len(twins) < FEWEST:
        return None
    return from_clean_to_twin(
        faces.select(clean[twins]).similarities, faces.select(twins).similarities
    )


def from_clean_to_twin(clean: np.ndarray, twin: np.ndarray) -> np.ndarray:
    """Return the drifts between two alignments of photographs.

    Args:
        clean: (M, 4) a, b, tx, ty of the matrices [[a, -b, tx], [b, a, ty]] from photographs to
            aligned frames.
        twin: (M, 4) the same of the same photographs with masks.
    """
    (turn, shift), (masked_turn, masked_shift) = (
        (m[:, 0] + 1j * m[:, 1], m[:, 2] + 1j * m[:, 3]) for m in (clean, twin)
    )
    ratio = masked_turn / turn  # a similarity is z -> turn z + shift in complex numbers
    moved = ratio * (CENTRE - shift) + masked_shift - CENTRE
    logarithm = np.log(ratio)
    return np.column_stack([logarithm.real, logarithm.imag, moved.real, moved.imag])


def from_constants(rng: np.random.Generator, amount: float) -> np.ndarray:
    """Draw the (2, 3) similarity from the constants; `amount` 1 is the drift they describe, 0
    the identity.
    """
    spread = np.clip(rng.normal(size=4), -WIDEST, WIDEST) * amount
    scale = 1 + amount * (SCALE_MEAN - 1) + SCALE_SPREAD * spread[0]
    return _matrix(max(scale, 0.1), math.radians(ROTATION_DEG * spread[1]), SHIFT_PX * spread[2:])


def from_twins(rng: np.random.Generator, amount: float, table: np.ndarray) -> np.ndarray:
    """Draw one of the (M, 4) measured drifts; returns the (2, 3) similarity `amount` of the way
    from the identity to it.
    """
    log_scale, angle_rad, *shift = table[rng.integers(len(table))] * amount
    return _matrix(math.exp(log_scale), angle_rad, np.array(shift))


def describe(table: np.ndarray | None, path: Path | None = None) -> str:
    """Say in a line where the drift of masked faces comes from; a run's lineage keeps it, so
    that a resumed run has the same.

    Args:
        table: from `choose_table`.
        path: the file it was read from.
    """
    if table is None:
        return (
            f"the kit's constants, since the face set has fewer than {FEWEST} twins of training "
            "people drawn on photographs"
        )
    degrees, digest = (
        np.degrees(table[:, 1]),
        hashlib.sha256(np.ascontiguousarray(table).data).hexdigest()[:8],
    )
    scale = f"scale {np.exp(table[:, 0].mean()):.3f} +- {table[:, 0].std():.3f}"
    shift = (
        f"shift ({table[:, 2].mean():.1f}, {table[:, 3].mean():.1f}) +- "
        f"({table[:, 2].std():.1f}, {table[:, 3].std():.1f}) px"
    )
    origin = f"measured on {len(table)} twins of training people"
    if path is not None:
        origin = f"{len(table)} drifts of a file"
    return f"{origin} ({digest}): {scale}, rotation +- {degrees.std():.1f} degrees, {shift}"


def _matrix(scale: float, angle_rad: float, shift: np.ndarray) -> np.ndarray:
    turn = scale * np.array(
        [[math.cos(angle_rad), -math.sin(angle_rad)], [math.sin(angle_rad), math.cos(angle_rad)]]
    )
    centre = np.array([CENTRE.real, CENTRE.imag])
    return np.column_stack([turn, centre - turn @ centre + shift])
