"""A resumed run draws the masks it began with, wherever they lie now."""

import shutil

import pytest

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.masks import library
from mfr_kit.models import weights
from mfr_kit.training import prepare


@pytest.fixture
def begin(make_options, tmp_path):
    """Open a run's folder as `distill` does."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / weights.LAST).write_bytes(b"a checkpoint")

    def open_folder(**changes):
        options = make_options(**changes)
        masks = prepare.MaskChoice(0.5, options.masks, options.mask_folder, options.mask_mix)
        lineage = prepare.describe(FaceSet.open(options.data), masks, "none", None, None)
        if not options.resume:
            (options.out / weights.LAST).unlink()
        prepare.open_folder(options, 16, lineage)
        (options.out / weights.LAST).write_bytes(b"a checkpoint")

    return open_folder


def test_masks_are_compared_by_content(begin, tmp_path):
    masks, mix = tmp_path / "masks", tmp_path / "mix.toml"
    shutil.copytree(library.FOLDER, masks)
    mix.write_text("[kinds]\nsurgical = 2\n")
    begin(mask_folder=masks, mask_mix=mix)
    moved = tmp_path / "moved"
    shutil.copytree(masks, moved)
    (tmp_path / "mix2.toml").write_bytes(mix.read_bytes())
    begin(mask_folder=moved, mask_mix=tmp_path / "mix2.toml", resume=True)
    mix.write_text("[kinds]\nsurgical = 3\n")
    with pytest.raises(KitError, match="or the masks are not those it began with"):
        begin(mask_folder=masks, mask_mix=mix, resume=True)
    mix.write_text("[kinds]\nsurgical = 2\n")
    begin(mask_folder=masks, mask_mix=mix, resume=True)
    toml = next(masks.glob("[!m]*.toml"))
    toml.write_text(toml.read_text() + "\n# another\n")
    with pytest.raises(KitError, match="or the masks are not those it began with"):
        begin(mask_folder=masks, mask_mix=mix, resume=True)
    with pytest.raises(KitError, match="or the masks are not those it began with"):
        begin(resume=True)


def test_a_run_that_stored_no_content_compares_paths(begin, tmp_path):
    masks = shutil.copytree(library.FOLDER, tmp_path / "masks")
    begin(mask_folder=masks)
    path = tmp_path / "run" / weights.LINEAGE
    text = path.read_text()
    start = text.index(f'"{prepare.MASKS_DIGEST}"', text.index('"drift"'))
    path.write_text(text[:start].rstrip().rstrip(",") + text[text.index("}", start) :])
    begin(mask_folder=masks, resume=True)
    with pytest.raises(KitError, match="or the masks are not those it began with"):
        begin(mask_folder=library.FOLDER, resume=True)


def test_a_run_begun_under_an_options_former_name_goes_on(begin, tmp_path):
    begin(weight_share=0.5)
    config = tmp_path / "run" / weights.CONFIG
    text = config.read_text()
    config.write_text(text.replace("weight_share = 0.5", "keep = 0.5"))
    assert config.read_text() != text
    begin(weight_share=0.5, resume=True)
    with pytest.raises(KitError, match=r"--weight-share was 0\.5, is 0\.25"):
        begin(weight_share=0.25, resume=True)
    config.write_text(text + "keep = 0.5\n")
    with pytest.raises(KitError, match="'weight_share' and 'keep' are the same option"):
        begin(weight_share=0.5, resume=True)
