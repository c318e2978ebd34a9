"""IJB's templates, recomputed with dictionaries and scikit-learn's ROC, and measured from
photographs.
"""

import json

import numpy as np
import pytest

from mfr_kit import cli
from mfr_kit.data.alignment.align import TEMPLATE
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.evaluation.published.templates import TemplatePairs, measure, templates, tpr_nearest
from mfr_kit.evaluation.verification.rates import Plan
from mfr_kit.seeding import rng_for
from tests.conftest import head
from tests.evaluation.fakes import ColourEmbedder


@pytest.mark.parametrize("seed", range(4))
def test_templates_equal_the_slow_way(seed: int) -> None:
    rng = rng_for(seed)
    raw, scores = rng.standard_normal((80, 5)).astype(np.float32), rng.random(80).astype(np.float32)
    names, medias = rng.integers(10, 25, 80), rng.integers(0, 6, 80)
    numbers, rows = templates(raw, scores, names, medias)
    assert numbers.tolist() == sorted(set(names.tolist()))
    for number, row in zip(numbers, rows, strict=True):
        means = []
        for media in set(medias[names == number].tolist()):
            mine = [
                raw[i].astype(float) * scores[i]
                for i in range(80)
                if (names[i], medias[i]) == (number, media)
            ]
            means.append(sum(mine) / len(mine))
        assert row == pytest.approx(sum(means), abs=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_the_nearest_point_is_that_of_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = rng_for(seed)
    same = rng.random(900) < 0.2
    scores = (rng.normal(0, 0.2, 900) + 0.3 * same).round(1 + seed % 3).astype(np.float32)
    fpr, tpr, _ = metrics.roc_curve(same, scores)
    fpr, tpr = np.flipud(fpr), np.flipud(tpr)
    for row in tpr_nearest(scores, same):
        at = np.argmin(abs(fpr - row["fpr"]))
        assert (row["fpr_found"], row["tpr"]) == pytest.approx((fpr[at], tpr[at]))


@pytest.fixture
def ijb(tmp_path):
    """Six people, two templates each of two medias, one of them two frames; photographs larger
    than a face, landmarks to match.
    """
    root = tmp_path / "IJBC"
    for name in ("meta", "loose_crop"):
        (root / name).mkdir(parents=True)
    members, points, where = [], [], " ".join(f"{2 * value + 10:.3f}" for value in TEMPLATE.ravel())
    for number in range(36):
        person, take = divmod(number, 6)
        photo = np.zeros((240, 250, 3), np.uint8)
        photo[10:234, 10:234] = head(person, take, 224)
        (root / "loose_crop" / f"{number}.jpg").write_bytes(encode(photo))
        members.append(
            f"{number}.jpg {2 * person + take // 3 + 1} "
            f"{100 * number if take % 3 < 2 else 100 * (number - 1)}"
        )
        points.append(f"{number}.jpg {where} 0.9{take}")
    pairs = [
        (a, b, int((a - 1) // 2 == (b - 1) // 2)) for a in range(1, 13) for b in range(a + 1, 13)
    ]
    (root / "meta" / "ijbc_face_tid_mid.txt").write_text("\n".join(members) + "\n")
    (root / "meta" / "ijbc_name_5pts_score.txt").write_text("\n".join(points) + "\n")
    (root / "meta" / "ijbc_template_pair_label.txt").write_text(
        "".join(f"{a} {b} {same}\n" for a, b, same in pairs)
    )
    return root


def test_photographs_are_aligned_by_the_published_landmarks(ijb) -> None:
    pairs = TemplatePairs(ijb)
    assert len(pairs) == 36 and pairs.about["pairs"] == 66 and pairs.about["same"] == 6
    assert np.abs(pairs.image(7).astype(int) - head(1, 1)).mean() < 12
    before = pairs.fingerprint
    (ijb / "loose_crop" / "3.jpg").write_bytes(encode(np.zeros((240, 250, 3), np.uint8)))
    assert TemplatePairs(ijb).fingerprint != before


def test_pairs_of_templates_are_measured(ijb) -> None:
    result = measure(
        ColourEmbedder(), TemplatePairs(ijb), Plan(fars=(0.5,)), batch=8, cache=None
    ).result
    assert result["comparisons"] == {
        "genuine": 6,
        "impostor": 60,
        "genuine_not_found": 0,
        "impostor_not_found": 0,
    }
    assert [row["fpr"] for row in result["nearest"]] == [
        1e-6,
        1e-5,
        1e-4,
        1e-3,
        1e-2,
        1e-1,
    ] and result["nearest"][-1]["tpr"] > 0.5


def test_odd_folders_are_refused(ijb, tmp_path) -> None:
    with pytest.raises(KitError, match="found 0 of them"):
        TemplatePairs(tmp_path)
    (ijb / "loose_crop" / "5.jpg").unlink()
    with pytest.raises(KitError, match=r"5\.jpg is not there"):
        TemplatePairs(ijb)
    (ijb / "meta" / "ijbc_template_pair_label.txt").write_text("1 2 1\n")
    with pytest.raises(KitError, match="pairs of one kind only"):
        TemplatePairs(ijb)


def test_models_side_by_side_without_a_face_set(colour_models, ijb, tmp_path, capsys) -> None:
    assert (
        cli.main(
            [
                "evaluate",
                "whole",
                "upper",
                "--ijb",
                str(ijb),
                "--far",
                "0.5",
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == 0
    )
    text = capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (
        list(report["protocols"]) == ["ijbc"]
        and report["set"] is None
        and report["bins"][0]["name"] == "ijbc"
    )
    alone = measure(
        ColourEmbedder(upper=True), TemplatePairs(ijb), Plan(fars=(0.5,)), batch=8, cache=None
    ).result
    nearest = report["protocols"]["ijbc"]["models"]["upper"]["nearest"]
    assert (
        nearest == alone["nearest"]
        and f"{100 * nearest[-1]['tpr']:.2f}" in text
        and "TPR~FPR=1e-06" in text
    )
    page = (tmp_path / "out" / "report.html").read_text()
    assert (
        f'data-value="{nearest[-1]["tpr"]}"' in page
        and "summed over medias" in page
        and "as InsightFace computes it" not in page
    )
    assert cli.main(["evaluate", "whole", "--ijb", str(ijb), "--ijb", str(ijb)]) == 2
    assert "two folders hold ijbc" in capsys.readouterr().err
    np.save(tmp_path / "rows.npy", np.ones((3, 3), np.float32))
    assert cli.main(["evaluate", str(tmp_path / "rows.npy"), "--ijb", str(ijb)]) == 2
    assert "--ijb: " in capsys.readouterr().err
    assert cli.main(["evaluate", "whole", "--ijb", str(ijb), "--enrol", "1"]) == 2
    assert "--enrol asks for a face set" in capsys.readouterr().err
