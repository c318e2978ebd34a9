"""Golden sheet: every kind on drawn heads, turned three ways, against the picture that was looked
at.

After a change that is meant to be seen: `python -m tests.masks.test_golden` writes it anew; look at
it before committing.
"""

import re
import shlex
from pathlib import Path

import numpy as np

from mfr_kit.cli import main
from mfr_kit.data.images import encode, read_rgb
from mfr_kit.masks import drawn_heads, library, preview
from mfr_kit.masks.library import Library, Mask
from mfr_kit.masks.render import render
from mfr_kit.seeding import rng_for

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).with_name("golden_kinds.png")
POSES = ((-40, 5, 0), (0, 0, 8), (30, -8, -5))
SIZE = 72


def sheet() -> np.ndarray:
    lib = library.load(library.names())
    tiles = []
    for row, kind in enumerate(kind for kind in lib.kinds if kind != "noise"):
        look = next(look for look in lib.looks.values() if look.kind == kind)
        drawn = Library({look.name: look}, {look.name: 1.0}, lib.mix).draw(rng_for(9, row))
        for pose in POSES:
            face, landmarks = drawn_heads.draw(SIZE, *pose, person=row)
            tiles.append(
                render(face, landmarks, Mask(look, drawn.parameters), rng_for(9, row, 1))[0]
            )
    return preview.grid(tiles, 9)


def test_the_readmes_picture_is_what_its_command_makes(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"python kit\.py (masks preview docs/masks\.png[^`\n]*)", readme)
    words = shlex.split(command.replace("docs/masks.png", str(tmp_path / "masks.png")))
    assert main(words) == 0
    assert_alike(read_rgb(tmp_path / "masks.png"), read_rgb(ROOT / "docs" / "masks.png"))
    assert (ROOT / "docs" / "masks.png").stat().st_size < 400e3


def test_every_kind_looks_as_it_did_when_it_was_looked_at():
    assert_alike(sheet(), read_rgb(GOLDEN))


def assert_alike(drawn: np.ndarray, golden: np.ndarray) -> None:
    drawn, golden = drawn.astype(int), golden.astype(int)
    assert drawn.shape == golden.shape
    off = np.abs(drawn - golden)
    assert off.mean() < 1.0, f"mean difference {off.mean():.2f} of 255"
    assert np.percentile(off, 99.5) < 24, f"99.5th percentile {np.percentile(off, 99.5):.0f} of 255"


if __name__ == "__main__":
    GOLDEN.write_bytes(encode(sheet(), ".png"))
