"""Mask TOMLs and mix.toml: every field has a range, and what is wrong is answered with the file,
the look and the key.
"""

import cv2
import numpy as np
import pytest
from PIL import Image

from mfr_kit.cli import main
from mfr_kit.errors import KitError
from mfr_kit.masks import fields, library, texture
from mfr_kit.seeding import rng_for

PICTURE = """
title = "t"
kind = "m"
licence = "x"
[fit]
top = 15
bottom = 120
side = 76
[[look]]
name = "m-1"
texture = "m.png"
"""
RECIPE = """
kind = "own"
licence = "Apache-2.0"
[recipe]
outline = [[0, 15], [40, 25], [70, 50], [50, 105], [0, 120]]
[[look]]
name = "own-dots"
pattern = "dots"
"""
LOOK = 'name = "m-1"'


def picture(alpha: int = 255, shape=(220, 300, 4), kind=np.uint8) -> np.ndarray:
    image = np.full(shape, 90, kind)
    image[..., 3:] = alpha
    return image


@pytest.fixture
def folder(tmp_path):
    cv2.imwrite(str(tmp_path / "m.png"), picture())
    (tmp_path / "m.toml").write_text(PICTURE)
    return tmp_path


def refusal(folder) -> str:
    with pytest.raises(KitError) as caught:
        library.load(folder=folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("bottom = 120", "bottom = 5", "[fit]: bottom (5) must lie 20 mm or more below top (15)"),
        (
            "bottom = 120",
            "bottom = nan",
            "[fit]: bottom must be a number from 0 to 170 mm, not nan",
        ),
        ("side = 76", "side = inf", "[fit]: side must be a number from 20 to 120 mm, not inf"),
        ("side = 76", 'side = "76"', "[fit]: side must be a number from 20 to 120 mm, not '76'"),
        ("side = 76", "side = true", "side must be a number"),
        ("side = 76", "side = 1979-05-27", "side must be a number"),
        ("side = 76", "sied = 76", "unknown key in [fit] 'sied'. Did you mean 'side'?"),
        ("side = 76", 'styles = ["rigth"]', "unknown styles[0] 'rigth'. Did you mean 'right'?"),
        ("side = 76", "styles = []", "styles must be a list of at least 1"),
        ("side = 76", "draped = 1", "draped must be true or false, not 1"),
        ("bottom = 120", "bottom = 60", "cannot be worn under the nose"),
        ("[fit]\ntop = 15\nbottom = 120\nside = 76", "fit = [15, 120]", "[fit] must be a table"),
        ("[fit]\ntop = 15\nbottom = 120\nside = 76", "fit = 3", "[fit] must be a table, not 3"),
        ('kind = "m"', "kind = 5", "kind must be a name"),
        ('kind = "m"', 'kind = "../m"', "kind must be a name"),
        ('kind = "m"', 'kind = ""', "kind must be a name"),
        ('licence = "x"', 'licence = " "', "licence must be text"),
        ('licence = "x"', "licence = [1]", "licence must be text, not [1]"),
        ("[[look]]", "[look]", "[[look]], with two brackets"),
        ("[[look]]", "[[looks]]", "unknown key 'looks'. Did you mean 'look'?"),
        (PICTURE, "", "needs a licence and at least one [[look]]"),
        (
            LOOK,
            LOOK + "\nweight = -1",
            "look 'm-1': weight must be a number from 0 to 1000, not -1",
        ),
        (LOOK, LOOK + "\nweight = 0", "weight is 0 in every [[look]]"),
        (LOOK, LOOK + "\nnoise = 1e9", "look 'm-1': noise must be a number from 0 to 128"),
        (LOOK, LOOK + '\nflat = "yes"', "look 'm-1': flat must be true or false, not 'yes'"),
        (LOOK, LOOK + "\nbox = [10, 10, -10, 100]", "look 'm-1': box must be [left, top, right, b"),
        (LOOK, LOOK + "\nbox = [-10, 100, 10, 10]", "look 'm-1': box must be [left, top, right, b"),
        (LOOK, LOOK + "\nbox = [-999, 10, 10, 100]", "box (left) must be a number from -120"),
        (LOOK, LOOK + "\nbox = [-50, 130, 50, 165]", "lies beside the mask, which [fit] puts at"),
        (LOOK, LOOK + "\nbox = [1, 2, 3]", "box must be a list [left, top, right, bottom]"),
        (LOOK, LOOK + "\nbox = 3", "box must be a list [left, top, right, bottom]"),
        (LOOK, LOOK + '\nmode = "color"', "unknown mode 'color'. Did you mean 'colour'?"),
        (LOOK, LOOK + '\npattern = "dots"', "pattern is for looks drawn from a [recipe]"),
        (LOOK, LOOK + '\ncolours = { base = ["#ff0000"] }', "colours are for looks drawn from"),
        (LOOK, LOOK + "\ncolours = 3", "look 'm-1': colours must be a table, not 3"),
        (LOOK, "name = 7", "look 7: name must be a name"),
        (LOOK, LOOK + "\nsize = 7", "unknown key in [[look]] 'size'"),
        (
            '"m.png"',
            '"n.png"',
            "texture n.png is missing: unknown picture 'n.png'. Did you mean 'm.",
        ),
        ('"m.png"', '"../m.png"', "must lie in the folder of the TOML or below it"),
        ('"m.png"', '"/etc/m.png"', "must lie in the folder of the TOML or below it"),
        ('"m.png"', '"C:\\\\m.png"', "must lie in the folder of the TOML or below it"),
        ('"m.png"', "5", "look 'm-1': texture must be text, not 5"),
        ('"m.png"', '"m.toml"', "it is not an image that can be decoded"),
    ],
)
def test_what_is_wrong_is_named_with_file_look_and_key(folder, old, new, wanted):
    assert old in PICTURE
    (folder / "m.toml").write_text(PICTURE.replace(old, new))
    said = refusal(folder)
    assert wanted in said and str(folder / "m.toml") in said


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("outline = [", "outline = 3 #", "[recipe]: outline must be a list of at least 3"),
        ("[40, 25]", "[40]", "[recipe]: outline[1] must be a list [x, y], not [40]"),
        ("[40, 25]", '["40", 25]', "outline[1] (x) must be a number from 0 to 120 mm, not '40'"),
        ("[40, 25]", "[nan, 25]", "outline[1] (x) must be a number from 0 to 120 mm, not nan"),
        ("[40, 25]", "[-40, 25]", "outline[1] (x) must be a number from 0"),
        ("outline =", "outlin =", "unknown recipe key 'outlin'. Did you mean 'outline'?"),
        ("outline = [[0, 15], [40, 25], [70, 50], [50, 105], [0, 120]]", "", "needs an outline"),
        ("[40, 25], [70, 50], [50, 105]", "[0, 90]", "outline encloses less than 400 mm2"),
        ("[recipe]", "[recipe]\nalpha = 0", "alpha must be a number from 0.3 to 1, not 0"),
        ("[recipe]", "[recipe]\nwire = [4]", "wire must be a list [below, half], not [4]"),
        ("[recipe]", "[recipe]\nloops = [[79, 31]]", "loops[0][0] must be a list [x, y], not 79"),
        ("[recipe]", "[recipe]\nrows = 0", "rows must be a number from 3 to 60 mm, not 0"),
        ("[recipe]", "recipe = 3\n[other]", "unknown key 'other'"),
        ('"dots"', '"dotz"', "look 'own-dots': unknown pattern 'dotz'. Did you mean 'dots'?"),
        ('"dots"', '"dots"\npattern_size = 0', "pattern_size must be a number from 2 to 200"),
        ('"dots"', '"dots"\nbox = [0, 0, 50, 50]', "box is for looks with a texture of their own"),
        ('"dots"', '"dots"\ncolours = { base = [] }', "base must be a list of at least 1"),
        ('"dots"', '"dots"\ncolours = { base = "#ff0000" }', "base must be a list of at least 1"),
        ('"dots"', '"dots"\ncolours = { base = ["#+1+1+1"] }', "not of the form '#rrggbb'"),
        (
            '"dots"',
            '"dots"\ncolours = { bass = [] }',
            "unknown colour 'bass'. Did you mean 'base'?",
        ),
        (
            '"dots"',
            '"dots"\n[[look]]\nname = "big"\npattern = "dots"\npattern_size = 40',
            "looks 'own-dots' and 'big' ask for the pattern 'dots' in two sizes (12 and 40 mm)",
        ),
        (
            '"dots"',
            '"dots"\n[[look]]\nname = "own-dots"',
            "the look 'own-dots' exists already, in own.toml",
        ),
    ],
)
def test_recipes_are_checked_when_they_are_read(tmp_path, old, new, wanted):
    assert old in RECIPE
    (tmp_path / "own.toml").write_text(RECIPE.replace(old, new))
    said = refusal(tmp_path)
    assert wanted in said and str(tmp_path / "own.toml") in said


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        (picture(alpha=0), "transparent"),
        (picture(alpha=20), "transparent"),
        (picture(shape=(220, 300, 3)), "it has no alpha channel"),
        (picture(shape=(220, 300, 1)), "it has no alpha channel"),
        (picture(kind=np.uint16), "it has 16 bits a channel"),
        (picture(shape=(4, 300, 4)), "8 to 4096 pixels a side, this one is 300x4"),
        (picture(shape=(8, 5000, 4)), "8 to 4096 pixels a side, this one is 5000x8"),
    ],
)
def test_pictures_that_would_draw_nothing_or_wrong_are_refused(folder, image, wanted):
    cv2.imwrite(str(folder / "m.png"), image)
    said = refusal(folder)
    assert wanted in said and f"{folder / 'm.toml'}: look 'm-1': texture" in said


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x89PNG\r\n\x1a\n" + bytes(8)])
def test_pictures_that_are_none_are_refused(folder, data):
    (folder / "m.png").write_bytes(data)
    assert "it is not an image that can be decoded" in refusal(folder)


def test_a_narrow_outline_with_pleats_holds_no_nan(tmp_path):
    recipe = {"outline": [[5, 20], [4, 30], [0, 160]], "pleats": [60, -40]}
    with np.errstate(over="raise", invalid="raise"):
        assert texture.recipe.draw(recipe)[..., 3].any()


def test_pictures_of_another_format_are_refused(folder):
    Image.new("CMYK", (300, 220), (10, 20, 30, 255)).save(folder / "m.png", format="TIFF")
    assert "it is of another format (tiff)" in refusal(folder)


def test_encodings(folder):
    path = folder / "m.toml"
    windows = PICTURE.replace("\n", "\r\n").encode()
    for data in (PICTURE.encode("utf-8-sig"), windows, PICTURE.encode("utf-16")):
        path.write_bytes(data)
        assert list(library.load(folder=folder).looks) == ["m-1"]
    path.write_bytes(PICTURE.replace('"t"', '"é"').encode("latin-1"))
    assert "line 2" in refusal(folder)
    path.write_text("a = " + "[" * 5000)
    assert "not valid TOML" in refusal(folder)


def test_kinds_without_a_name_take_the_files_which_must_be_one(folder):
    text = PICTURE.replace('kind = "m"', "")
    (folder / "m.toml").rename(folder / "my mask.toml").write_text(text)
    assert library.load(folder=folder).kinds == ["my mask"]
    (folder / "my mask.toml").rename(folder / "my:mask.toml")
    assert "kind (else the file's name) must be a name" in refusal(folder)


def test_what_lies_beside_the_masks(folder):
    (folder / "._m.toml").write_bytes(b"\0\5\x16\7")  # macOS writes such
    (folder / "notes.txt").write_text("x")
    (folder / "m.toml").rename(folder / "M.TOML")
    assert list(library.load(folder=folder).looks) == ["m-1"]
    (folder / "own.toml").write_text(RECIPE)
    (folder / "two.toml").write_text(RECIPE.replace("own-dots", "two"))
    assert "kind 'own' is drawn by own.toml already, into own-dots.png" in refusal(folder)
    for item in folder.iterdir():
        item.unlink()
    assert "holds no mask" in refusal(folder)
    (folder / "file").touch()
    assert "is a file" in refusal(folder / "file")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[kinds]\nsurgica = 3", "unknown name in [kinds] 'surgica'. Did you mean 'surgical'?"),
        ("[kinds]\nsurgical = -3", "[kinds]: surgical must be a number from 0 to 1e+06, not -3"),
        ("[kinds]\nsurgical = nan", "[kinds]: surgical must be a number"),
        ("kinds = 3", "[kinds] must be a table, not 3"),
        ("[kind]\nsurgical = 3", "unknown key 'kind'. Did you mean 'kinds'?"),
        ("[styles]\naskwe = 3", "unknown name in [styles] 'askwe'. Did you mean 'askew'?"),
        ("[styles]\nright = 0\nunder_nose = 0\naskew = 0", "[styles] needs at least 'right', and"),
        ("[ranges]\ntop = [0, 1, 5, -5]", "[ranges]: top: the lowest (5) lies above the highest"),
        ("[ranges]\ntop = [0, 1]", "top must be a list [mean, deviation, lowest, highest]"),
        ("[ranges]\ntop = [0, -1, -5, 5]", "top (deviation) must be a number from 0 to 80 mm"),
        (
            "[ranges]\nwidth = [nan, 0, 1, 1]",
            "width (mean) must be a number from 0.5 to 2, not nan",
        ),
        ('[ranges]\nwidth = ["1", 0, 1, 1]', "width (mean) must be a number"),
        ("[ranges]\nwdth = [1, 0, 1, 1]", "unknown name in [ranges] 'wdth'. Did you mean 'width'?"),
        ("dirty = 1.5", "dirty must be a number from 0 to 1, not 1.5"),
        ('dirty = "no"', "dirty must be a number from 0 to 1, not 'no'"),
        ("dirt = 1", "unknown key 'dirt'. Did you mean 'dirty'?"),
    ],
)
def test_mixes_are_checked_when_they_are_read(tmp_path, text, wanted):
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(KitError) as caught:
        library.load(mix=path)
    assert wanted in str(caught.value) and str(path) in str(caught.value)


def test_a_misspelt_kind_in_the_kits_own_mix_is_refused(folder, monkeypatch):
    mix = (library.FOLDER / library.MIX).read_text(encoding="utf-8")
    head, rest = mix.split("[kinds]")
    (folder / "mix.toml").write_text(f"{head}[kinds]\nmm = 5\n[styles]{rest.split('[styles]')[1]}")
    monkeypatch.setattr(library, "FOLDER", folder)
    assert "mix.toml: [kinds]: unknown name in [kinds] 'mm'. Did you mean 'm'?" in refusal(folder)


def test_a_mix_without_any_kind_is_refused(folder):
    mix = (library.FOLDER / library.MIX).read_text(encoding="utf-8")
    (folder / "mix.toml").write_text(mix.replace("[kinds]", "[kinds]\nm = 0"))
    assert "every kind has frequency 0" in refusal(folder)
    assert library.load(["m"], folder).shares == {"m-1": 1.0}


def test_no_draw_turns_a_short_mask_upside_down(folder):
    (folder / "m.toml").write_text(
        PICTURE.replace("bottom = 120", 'bottom = 35.0\nstyles = ["right", "askew"]')
    )
    mix = folder / "mix.txt"
    mix.write_text("[ranges]\ntop = [40, 0, 40, 40]\nbottom = [-40, 0, -40, -40]")
    drawn = library.load(folder=folder, mix=mix).draw(rng_for(0)).parameters
    assert (drawn["top"], drawn["bottom"]) == (55.0, 60.0)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"top": None}, "top must be a number, not None"),
        ({"width": float("nan")}, "width must be a number, not nan"),
        ({"base": [1, 2]}, "base must be 3 numbers"),
        ({"tone": "warm"}, "tone must be 3 numbers"),
        ({"bottom": -50.0}, "bottom lies above top"),
        ({"look": ["x"]}, "unknown mask look"),
    ],
)
def test_parameters_from_elsewhere_are_checked_before_they_are_drawn(change, wanted):
    chosen = library.load(["kn95"])
    parameters = chosen.draw(rng_for(0)).parameters
    assert chosen.replay(parameters).parameters == parameters
    with pytest.raises(KitError, match=wanted):
        chosen.replay(parameters | change)


def draw_quickly(recipe: dict, *_, **__) -> np.ndarray:
    """Stands for `recipe.draw`, which takes half a second: another picture for another outline."""
    return picture(alpha=int(recipe["outline"][2][0]) + 100, shape=(42, 48, 4))


def test_render_library_overwrites_only_what_it_drew(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(texture.recipe, "draw", draw_quickly)
    (tmp_path / "own.toml").write_text(RECIPE)
    command = ["masks", "render-library", "--folder", str(tmp_path)]
    path = tmp_path / "textures" / "own-dots.png"
    assert main(command) == 0 and main(command) == 0
    drawn = texture.read(path)
    (tmp_path / "own.toml").write_text(RECIPE.replace("[70, 50]", "[60, 50]"))
    changed = library.load(folder=tmp_path).looks["own-dots"].levels[0]
    assert not np.array_equal(changed, drawn)  # not the stale picture
    assert main(command) == 0
    assert np.array_equal(texture.read(path), changed)
    edited = path.read_bytes()
    marks = edited[edited.index(b"tEXt") - 4 :]
    cv2.imwrite(str(path), cv2.cvtColor(255 - drawn // 2, cv2.COLOR_RGBA2BGRA))
    for mine in (path.read_bytes(), path.read_bytes()[:-12] + marks):  # without and with the mark
        path.write_bytes(mine)
        assert main(command) == 2
        assert path.read_bytes() == mine
    assert "own-dots.png was not drawn by render-library" in capsys.readouterr().err


def test_the_shipped_masks_are_inside_the_ranges_and_marked_as_drawn():
    for look in library.looks().values():
        assert look.fit.bottom - look.fit.top >= fields.LEAST_HEIGHT
        assert texture.mark_of(look.texture_path.read_bytes())[0] == texture.recipe_digest(look)
