"""The sentence a report begins with: never more than the interval holds."""

import pytest

from mfr_kit.evaluation.report.verdict import verdict


def row(far: float, tar: float | None, false_accepts: int = 500, note: str = "") -> dict:
    span = None if tar is None else {"low": tar - 0.01, "high": tar + 0.01}
    known = {"far": far, "tar": tar, "interval": span}
    return {**known, "false_accepts": false_accepts, "note": note}


def report(differences: dict, models: tuple = ("one", "two"), rows=None, **more) -> dict:
    """Differences of each later model to the first: (far, points, low, high), in shares."""
    rows = rows or [row(0.01, 0.9), row(0.001, 0.8)]
    result = {"faces": {"people": 1234}, "tar_at_far": rows, **more}
    listed = [
        {
            "model": model,
            "against": models[0],
            "far": far,
            "tar_difference": by,
            "interval": {"low": low, "high": high},
        }
        for model, found in differences.items()
        for far, by, low, high in found
    ]
    entry = {"title": "masked against unmasked", "models": dict.fromkeys(models, result)}
    other = {"title": "unmasked against unmasked", "models": {}, "differences": []}
    return {
        "protocols": {"nonmask-nonmask": other, "mask-nonmask": entry | {"differences": listed}}
    }


@pytest.mark.parametrize(
    ("found", "claimed", "said"),
    [
        ([(0.01, 0.1, 0.05, 0.2), (0.001, 0.2, 0.1, 0.3)], True,
         "two is better than one by 20.00 points of TAR (95 % interval 10.00 to 30.00) at FAR "
         "0.001 (masked against unmasked, 1,234 people); the interval leaves out zero, so this can "
         "be claimed."),
        ([(0.001, -0.2, -0.3, -0.1)], True,
         "one is better than two by 20.00 points of TAR (95 % interval 10.00 to 30.00) at FAR "
         "0.001 (masked against unmasked, 1,234 people); the interval leaves out zero, so this can "
         "be claimed."),
        ([(0.001, -0.02, -0.1, 0.05)], False,
         "Which of two and one is better cannot be claimed: the difference is -2.00 points of TAR "
         "(95 % interval -10.00 to 5.00) at FAR 0.001 (masked against unmasked, 1,234 people), and "
         "may be none."),
    ],
)  # fmt: skip
def test_two_models(found, claimed, said) -> None:
    spoken = verdict(report({"two": found}))
    assert spoken["text"] == said and spoken["claimed"] is claimed
    assert spoken["protocol"] == "mask-nonmask" and spoken["far"] == 0.001


def test_of_three_models_the_best_is_named_and_only_if_it_is_surely_better() -> None:
    better = {"two": [(0.01, 0.1, 0.05, 0.2)], "three": [(0.01, 0.3, 0.2, 0.4)]}
    said = verdict(report(better, ("one", "two", "three")))["text"]
    assert (
        said.startswith("three is better than one by 30.00 points") and "most of 3 models" in said
    )
    worse = {"two": [(0.01, -0.1, -0.2, -0.05)], "three": [(0.01, -0.3, -0.4, -0.2)]}
    said = verdict(report(worse, ("one", "two", "three")))["text"]
    assert said.startswith("one is better than two by 10.00") and "the 1 others by more" in said
    mixed = {"two": [(0.01, -0.1, -0.2, 0.01)], "three": [(0.01, -0.3, -0.4, -0.2)]}
    said = verdict(report(mixed, ("one", "two", "three")))
    assert not said["claimed"] and said["text"].startswith("Which of two and one is better cannot")


def test_why_nothing_can_be_claimed() -> None:
    weak = [row(0.01, 0.9, 51, "only 51 false accepts, comparing models needs 100")]
    said = verdict(report({}, rows=weak))
    assert said["far"] is None and not said["claimed"]
    assert said["text"].endswith(
        "1,234 people): only 51 false accepts, comparing models needs 100."
    )
    assert "no intervals" in verdict(report({}))["text"]
    alone = verdict(report({}, ("one",), rows=[row(0.01, None, 3, "only 3 false accepts")]))["text"]
    assert alone.startswith("Nothing can be claimed of one") and "only 3 false accepts" in alone


def test_one_model_and_a_list_of_pairs() -> None:
    said = verdict(report({}, ("one",)))["text"]
    assert said == (
        "one recognises 80.00 % (95 % interval 79.0 to 81.0) at FAR 0.001 (masked against "
        "unmasked, 1,234 people)."
    )
    counted = {"accuracy": {}, "comparisons": {"genuine": 3000, "impostor": 3000}}
    assert (
        "(masked against unmasked, 6,000 pairs)" in verdict(report({}, ("one",), **counted))["text"]
    )


def test_two_models_on_a_list_of_pairs_are_told_apart_by_accuracy() -> None:
    counted = {"accuracy": {}, "comparisons": {"genuine": 3000, "impostor": 3000}}
    said = report({}, **counted)
    change = {"model": "two", "against": "one", "difference": 0.0125}
    change["interval"] = {"low": 0.004, "high": 0.02}
    said["protocols"]["mask-nonmask"]["accuracy_differences"] = [change]
    assert verdict(said)["text"].startswith(
        "two is better than one by 1.25 points of accuracy (95 % interval 0.40 to 2.00) (masked "
        "against unmasked, 6,000 pairs);"
    )
