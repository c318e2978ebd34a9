"""What a report concludes, in one sentence: which model is better, at what, by how much, on how
many people, and whether that can be claimed.
"""

from mfr_kit.evaluation.verification.rates import COMPARE

# what a masked-face kit is asked first; else the first protocol of the report
FIRST = ("mask-nonmask", "synthetic-mask", "mask-mask")

CLAIMED = "the interval leaves out zero, so this can be claimed"


def verdict(report: dict) -> dict:
    """Conclude from a report of `run.evaluate`.

    The sentence is about one protocol (masked against unmasked, where that was measured) at the
    smallest FAR at which its models can be compared. A difference is claimed where its paired
    interval leaves out zero.

    Returns:
        `text`, a sentence; `claimed`: whether it names a better model; `protocol` and `far`, None
        where nothing is claimed at any.
    """
    protocols = report["protocols"]
    name = next((name for name in FIRST if name in protocols), next(iter(protocols)))
    entry = protocols[name]
    sentence = _of_one if len(entry["models"]) == 1 else _of_several
    return {"protocol": name, **sentence(entry)}


def _of_one(entry: dict) -> dict:
    ((model, result),) = entry["models"].items()
    claimed = [row for row in result["tar_at_far"] if row["tar"] is not None]
    where = f"{entry['title']}, {_whom(result)}"
    if not claimed:
        why = result["tar_at_far"][0]["note"]
        return _say(f"Nothing can be claimed of {model} ({where}): {why}.", None)
    row = min(claimed, key=lambda row: row["far"])
    return _say(
        f"{model} recognises {100 * row['tar']:.2f} %{_bounds(row['interval'])} at FAR "
        f"{row['far']:g} ({where}).",
        row["far"],
    )


def _of_several(entry: dict) -> dict:
    first = next(iter(entry["models"]))
    where = f"{entry['title']}, {_whom(entry['models'][first])}"
    fars = [row["far"] for row in entry["differences"]]
    if not fars and entry.get("accuracy_differences"):
        rows = [
            {**row, "tar_difference": row["difference"]} for row in entry["accuracy_differences"]
        ]
        return _weigh(rows, first, len(entry["models"]), f"({where})", "accuracy", None)
    if not fars:
        return _say(f"Which model is better cannot be claimed ({where}): {_why(entry)}.", None)
    rows = [row for row in entry["differences"] if row["far"] == min(fars)]
    at = f"at FAR {min(fars):g} ({where})"
    return _weigh(rows, first, len(entry["models"]), at, "TAR", min(fars))


def _weigh(
    rows: list[dict], first: str, models: int, at: str, figure: str, far: float | None
) -> dict:
    """Say which is better by differences to the first model of a figure."""
    best, least = (pick(rows, key=lambda row: row["tar_difference"]) for pick in (max, min))
    more = models > 2
    if best["interval"]["low"] > 0:
        most = f", the most of {models} models," if more else ""
        gain = _points(best, figure)
        text = f"{best['model']} is better than {first} by {gain}{most} {at}; {CLAIMED}."
        return _say(text, far, claimed=True)
    if all(row["interval"]["high"] < 0 for row in rows):
        nearest = f" (and than the {len(rows) - 1} others by more)" if more else ""
        gain = _points(best, figure, -1)
        text = f"{first} is better than {best['model']} by {gain}{nearest} {at}; {CLAIMED}."
        return _say(text, far, claimed=True)
    row = best if best["tar_difference"] >= -least["tar_difference"] or more else least
    text = (
        f"Which of {row['model']} and {first} is better cannot be claimed: the difference is "
        f"{_points(row, figure)} {at}, and may be none."
    )
    return _say(text, far)


def _say(text: str, far: float | None, claimed: bool = False) -> dict:
    return {"text": text, "claimed": claimed, "far": far}


def _why(entry: dict) -> str:
    notes = [
        row["note"]
        for result in entry["models"].values()
        for row in result["tar_at_far"]
        if row["note"] and (row["false_accepts"] or 0) < COMPARE
    ]
    rows = [row for result in entry["models"].values() for row in result["tar_at_far"]]
    if notes and all((row["false_accepts"] or 0) < COMPARE for row in rows):
        return notes[0]
    return "the differences have no intervals"


def _points(row: dict, figure: str, sign: int = 1) -> str:
    low, high = sorted(100 * sign * row["interval"][end] for end in ("low", "high"))
    return (
        f"{100 * sign * row['tar_difference']:.2f} points of {figure} (95 % interval {low:.2f} to "
        f"{high:.2f})"
    )


def _bounds(span: dict | None) -> str:
    return f" (95 % interval {100 * span['low']:.1f} to {100 * span['high']:.1f})" if span else ""


def _whom(result: dict) -> str:
    """Say of how many people; a list of pairs of nobody knows its pairs only."""
    if "accuracy" in result or "nearest" in result:
        counted = result["comparisons"]
        return f"{counted['genuine'] + counted['impostor']:,} pairs"
    return f"{result['faces']['people']:,} people"
