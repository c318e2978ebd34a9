"""A new mask is one new file: what docs/extend/add_a_mask.md promises, in a folder of its own."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfr_kit.cli import main
from mfr_kit.data.alignment.align import TEMPLATE
from mfr_kit.errors import KitError
from mfr_kit.masks import fields, library, recipe
from mfr_kit.masks.render import render
from mfr_kit.seeding import rng_for
from tests.conftest import head

DOCUMENT = (Path(__file__).parents[2] / "docs" / "extend" / "add_a_mask.md").read_text(
    encoding="utf-8"
)
EXAMPLE = re.search(r"```toml\n(.*?)```", DOCUMENT, re.S).group(1)
RECIPE = """
kind = "own"
licence = "Apache-2.0"
[recipe]
outline = [[0, 15], [40, 25], [70, 50], [50, 105], [0, 120]]
[[look]]
name = "own-dots"
pattern = "dots"
colours = { base = ["#ff0000"], print = ["#ff0000"] }
"""


def rendered(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    mask = library.load([name], folder).draw(rng_for(0))
    return render(head(0), TEMPLATE, mask, rng_for(0))


def test_the_documented_picture_mask_works_without_code(tmp_path):
    (tmp_path / "mine.toml").write_text(EXAMPLE)
    picture = np.zeros((60, 80, 4), np.uint8)
    picture[5:-5, 5:-5] = (255, 40, 0, 255)  # blue first, as OpenCV writes
    cv2.imwrite(str(tmp_path / "mine.png"), picture)
    masked, coverage = rendered(tmp_path, "mine-blue")
    assert coverage[90, 56] == 255 and not coverage[:50].any()
    red, _, blue = masked[coverage == 255].mean(axis=0)
    assert blue > 2 * red
    assert library.load(folder=tmp_path).kinds == ["mine"]
    assert (
        main(
            [
                "masks",
                "preview",
                str(tmp_path / "sheet.png"),
                "--folder",
                str(tmp_path),
                "--tile",
                "64",
            ]
        )
        == 0
    )
    assert (tmp_path / "sheet.png").exists()


def test_a_recipe_draws_itself_with_or_without_its_png(tmp_path):
    (tmp_path / "own.toml").write_text(RECIPE)
    before, coverage = rendered(tmp_path, "own-dots")
    assert main(["masks", "render-library", "--folder", str(tmp_path)]) == 0
    assert (tmp_path / "textures" / "own-dots.png").exists()
    after, _ = rendered(tmp_path, "own-dots")
    assert np.array_equal(before, after)
    red, green, _ = before[coverage == 255].mean(axis=0)
    assert red > 2 * green


def test_gallery_shows_every_look_and_its_toml(tmp_path):
    (tmp_path / "own.toml").write_text(RECIPE)
    assert (
        main(
            ["masks", "gallery", str(tmp_path / "page"), "--folder", str(tmp_path), "--tile", "64"]
        )
        == 0
    )
    page = (tmp_path / "page" / "index.html").read_text()
    assert (
        'id="own-dots"' in page
        and "pattern = &quot;dots&quot;" in page
        and "data:image/jpeg;base64," in page
        and "Content-Security-Policy" in page
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("outline", "outlin"), "Did you mean 'outline'"),
        (('"dots"', '"dotz"'), "unknown pattern 'dotz'"),
        (("#ff0000", "red"), "not of the form"),
        (('licence = "Apache-2.0"', ""), "needs a licence"),
        (("[recipe]", "[recip]"), "unknown key 'recip'"),
        (('name = "own-dots"', ""), "needs a name"),
        (("kind =", "kind"), "not valid TOML"),
    ],
)
def test_mistakes_are_answered_with_the_file_and_the_cure(tmp_path, change, said):
    (tmp_path / "own.toml").write_text(RECIPE.replace(*change))
    with pytest.raises(KitError, match=said) as caught:
        rendered(tmp_path, "own-dots")
    assert "own" in str(caught.value)


def test_a_picture_without_alpha_is_refused(tmp_path):
    (tmp_path / "mine.toml").write_text(EXAMPLE)
    cv2.imwrite(str(tmp_path / "mine.png"), np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(KitError, match="alpha channel"):
        rendered(tmp_path, "mine-blue")


def test_the_document_names_every_recipe_key_and_pattern():
    for key in fields.RECIPE:
        assert f"`{key}`" in DOCUMENT, key
    for name in recipe.patterns.names():
        assert name == "none" or name in DOCUMENT, name


def test_the_document_lists_every_range():
    """Made by `fields.table()`: paste it again where this fails."""
    assert fields.table() in DOCUMENT


def test_the_committed_textures_are_what_the_recipes_draw():
    """Three of them, redrawn: a recipe that was changed without `render-library` fails here."""
    looks = library.looks()
    for name in ("surgical-blue", "cloth-floral", "cup-white"):
        look = looks[name]
        drawn = recipe.draw(
            look.recipe, look.pattern, look.pattern_size, where=f"{look.kind}/{look.pattern}"
        )
        assert np.abs(drawn.astype(int) - look.levels[0]).mean() < 0.05, name
