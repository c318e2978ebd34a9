"""Every protocol file keeps the common form, and the fixed threshold is what it says."""

import numpy as np
import pytest

from mfr_kit import registry
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.face_set.faceset_writer import write_rows
from mfr_kit.evaluation.compare import PROTOCOLS, evaluate_set
from mfr_kit.evaluation.inputs.faces import from_set
from mfr_kit.evaluation.protocols import mask_nonmask, nonmask_nonmask
from mfr_kit.seeding import rng_for
from tests.conftest import write_faceset
from tests.evaluation.tables import listed, tar_by_sorting

KEYS = {"comparisons", "faces", "tar_at_far", "eer", "d_prime", "histogram", "roc"}
ROW = {"far", "tar", "tar_macro", "interval", "threshold", "false_accepts", "true_accepts", "note"}


@pytest.fixture
def measured(tmp_path):
    faceset = write_faceset(tmp_path / "set", people=8)
    codes = np.array([int(name[1:]) for name in faceset.identities])
    rng = rng_for(6)
    raw = rng.standard_normal((8, 12))[codes] + rng.standard_normal((len(codes), 12))
    raw[faceset.conditions == "mask", :4] += 1.5
    return faceset, raw.astype(np.float32)


@pytest.mark.parametrize("name", registry.names(PROTOCOLS))
def test_a_protocol_has_a_title_and_an_order(name: str) -> None:
    protocol = registry.get(PROTOCOLS, name)
    assert protocol.TITLE and isinstance(protocol.ORDER, int) and protocol.__doc__
    orders = [registry.get(PROTOCOLS, other).ORDER for other in registry.names(PROTOCOLS)]
    assert orders.count(protocol.ORDER) == 1


def test_results_have_one_shape(measured) -> None:
    faceset, raw = measured
    for result in evaluate_set(raw, faceset, fars=[0.3, 1e-9]).values():
        assert KEYS <= set(result) <= KEYS | {"groups", "challenge"}
        assert (
            all(set(row) >= ROW for row in result["tar_at_far"])
            and result["tar_at_far"][1]["tar"] is None
        )
        bins = result["histogram"]
        assert (
            sum(bins["genuine"]) == result["comparisons"]["genuine"]
            and sum(bins["impostor"]) == result["comparisons"]["impostor"]
        )


def test_the_threshold_of_unmasked_faces_is_kept_for_masked_ones(measured) -> None:
    faceset, raw = measured
    faces = from_set(raw, faceset)
    result = evaluate_set(
        raw,
        faceset,
        fars=[0.25, 0.1],
        protocols=["fixed-threshold", "nonmask-nonmask", "mask-nonmask"],
    )
    genuine, impostor = listed(faces.under("mask"), faces.under("nonmask"))
    for fixed, clean, own in zip(*(result[name]["tar_at_far"] for name in result), strict=True):
        assert fixed["threshold"] == clean["threshold"] != own["threshold"]
        assert clean["tar"] == tar_by_sorting(*listed(faces.under("nonmask")), clean["far"])[0]
        assert fixed["tar"] == pytest.approx(
            np.mean(np.array(genuine) >= fixed["threshold"]), abs=0.01
        )
        assert fixed["far_measured"] == pytest.approx(
            np.mean(np.array(impostor) >= fixed["threshold"]), abs=0.005
        )
    assert nonmask_nonmask.pairs(faces).count.genuine < mask_nonmask.pairs(faces).count.genuine


def test_groups_of_masks_add_up_to_the_whole(measured) -> None:
    """Kinds and ranges of coverage; the twin whose face was lost is a group of its own, with
    nothing accepted.
    """
    faceset, raw = measured
    rows = faceset.table.to_pylist()
    for number, row in enumerate(rows):
        if row["mask"]:
            row["mask"] = f'{{"look": "look{number % 3}", "coverage": {0.1 + 0.04 * (number % 3)}}}'
    gone = next(number for number, row in enumerate(rows) if row["mask"])
    lost = {name: rows[gone][name] for name in ("source", "identity", "condition", "clean_key")} | {
        "reason": "no_face",
        "detail": "",
    }
    kept = np.arange(len(rows)) != gone
    write_rows(
        faceset.folder, [([row for row, keep in zip(rows, kept, strict=True) if keep], [lost])], {}
    )
    result = evaluate_set(
        raw[kept], FaceSet.open(faceset.folder), fars=[0.25], protocols=["mask-nonmask"]
    )["mask-nonmask"]
    for by, names in (
        ("mask kind", {"look0", "look1", "look2"}),
        ("coverage", {"10 to 15 %", "15 to 20 %"}),
    ):
        groups = {group["group"]: group for group in result["groups"] if group["by"] == by}
        assert set(groups) == names | {"no face found"}
        assert groups["no face found"]["tar"] == [0.0] and groups["no face found"]["genuine"] == 3
        assert (
            sum(group["genuine"] for group in groups.values()) == result["comparisons"]["genuine"]
        )
        accepted = sum(group["genuine"] * group["tar"][0] for group in groups.values())
        assert accepted == pytest.approx(result["tar_at_far"][0]["true_accepts"])
