"""The library: what can be drawn, how often, and that parameters replay."""

import json
from collections import Counter

import numpy as np
import pytest

from mfr_kit.errors import KitError
from mfr_kit.masks import library
from mfr_kit.seeding import rng_for


def test_library_has_the_promised_variety():
    looks = library.looks()
    worn = {look.kind for look in looks.values()} - {"hand", "upper_half", "noise", "grey"}
    assert len(worn) >= 12
    assert len([look for look in looks.values() if look.kind in worn]) >= 30
    assert {
        "surgical-blue",
        "surgical-green",
        "respirator-white",
        "cloth-black",
        "cloth-floral",
        "child-blue",
    } <= set(library.names())


def test_parameters_survive_json_and_replay_the_same_mask():
    full = library.load(library.names())
    for index in range(200):
        mask = full.draw(rng_for(3, index))
        again = full.replay(json.loads(json.dumps(mask.parameters)))
        assert again.parameters == mask.parameters
        assert again.look is mask.look


def test_same_generator_same_mask():
    lib = library.load()
    assert lib.draw(rng_for(1, 2)).parameters == lib.draw(rng_for(1, 2)).parameters
    assert lib.draw(rng_for(1, 2)).parameters != lib.draw(rng_for(1, 3)).parameters


def test_draws_follow_the_mix():
    lib = library.load()
    draws = 4000
    drawn = Counter(lib.draw(rng_for(0, index)).look.kind for index in range(draws))
    total = sum(lib.mix.kinds.values())
    for kind, weight in lib.mix.kinds.items():
        wanted = weight / total
        assert (
            abs(drawn[kind] / draws - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / draws) + 1e-9
        ), kind


def test_distractors_and_fallbacks_are_drawn_only_when_named():
    assert not {"hand", "upper_half", "noise", "grey"} & set(library.load().kinds)
    assert library.load(["hand", "grey-fill"]).kinds == ["grey", "hand"]


def test_kinds_and_looks_can_be_named_and_a_typo_is_answered():
    assert set(library.load(["kn95"]).looks) == {
        "respirator-white",
        "respirator-black",
        "respirator-grey",
    }
    with pytest.raises(KitError, match="Did you mean 'surgical-blue'"):
        library.load(["surgical-blu"])
    with pytest.raises(KitError, match="name at least one"):
        library.load([])


def test_replay_of_an_unknown_look_is_refused():
    with pytest.raises(KitError, match="unknown mask look 'gone'"):
        library.load(["kn95"]).replay({"look": "gone"})


def test_a_mix_of_ones_own_goes_over_the_shipped_one(tmp_path):
    (tmp_path / "mix.toml").write_text(
        "[kinds]\nsurgical = 0\nnoise = 100\n[ranges]\nwidth = [1.2, 0, 1.2, 1.2]\n"
    )
    usual, own = library.load(), library.load(mix=tmp_path / "mix.toml")
    assert (
        "noise-fill" in own.looks
        and "surgical-blue" not in own.looks
        and "noise-fill" not in usual.looks
    )
    assert own.shares["noise-fill"] > 0.5
    assert own.mix.styles == usual.mix.styles and own.mix.ranges["top"] == usual.mix.ranges["top"]
    assert own.draw(rng_for(0, 1)).parameters["width"] == pytest.approx(1.2)
