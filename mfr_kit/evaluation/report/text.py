"""The report as plain text: aligned, readable in a log."""

from mfr_kit.data.face_set.faceset import MASK, NONMASK
from mfr_kit.evaluation.search.identification import RANKS


def text(report: dict) -> str:
    """Lay out a report of `run.evaluate` for a terminal."""
    lines = [f"WARNING: {row['text']}: its figures flatter" for row in report.get("overlap") or ()]
    lines += _set(report["set"]) if report["set"] else []
    lines += _alignments(report["realigned"]) if report["realigned"] else []
    lines += [
        f"set {one['name']}: {one['pairs']:,} pairs, {one['same']:,} of one person"
        for one in report["bins"]
    ]
    notes: dict[str, str] = {}
    for name, entry in report["protocols"].items():
        lines += (
            ["", f"{name}: {entry['title']}"]
            + _table(entry["models"], notes)
            + _groups(entry["models"], notes)
            + _accuracies(entry["models"])
            + _nearest(entry["models"])
            + _draw(entry["models"])
            + [_difference(row) for row in entry["differences"]]
            + _searches(entry, notes)
            + _galleries(entry, notes)
            + [_change(row) for row in entry.get("identification_differences", ())]
        )
    for model, found in (report["challenge"] or {}).items():
        lines += ["", f"challenge's score of {model}: {found['text']}"]
    lines += _operating(report["operating_point"] or {})
    return "\n".join(
        [*lines, *([""] if notes else []), *(f"{mark} {note}" for note, mark in notes.items())]
    )


def _set(about: dict) -> list[str]:
    lost, here, sampled = about["not_found"], about["conditions"], about["sampled"]
    part = (
        [
            f"a sample: {sampled['people']:,} of {sampled['of_people']:,} people, drawn with "
            f"--seed {sampled['seed']}"
        ]
        if sampled
        else []
    )
    return [
        *part,
        f"set {about['name']}: {about['people']:,} people, {here['nonmask']:,} unmasked and "
        f"{here['mask']:,} masked faces",
        f"no face found in {lost['nonmask']} unmasked and {lost['mask']} masked photographs: "
        "their comparisons count as non-matches",
    ]


def _alignments(matched: dict) -> list[str]:
    old, new = matched["old"], matched["new"]
    lost = f"left out: {old['left_out']:,} of {old['set']}, {new['left_out']:,} of {new['set']}"
    return [
        f"{matched['photographs']:,} photographs, old alignment as in {old['set']}, new "
        f"alignment as in {new['set']}; {lost}"
    ]


def _table(models: dict, notes: dict[str, str]) -> list[str]:
    fars = [row["far"] for row in next(iter(models.values()))["tar_at_far"]]
    rows = [
        [
            "model",
            *(f"TAR@FAR={far:g}" for far in fars),
            "EER",
            "d'",
            "genuine",
            "impostor",
            "not found",
        ]
    ]
    for model, result in models.items():
        count, faces = result["comparisons"], result["faces"]
        tars = [_tar(row, notes) for row in result["tar_at_far"]]
        eer = f"{100 * result['eer']['rate']:.2f}"
        rows.append(
            [
                model,
                *tars,
                eer,
                "-" if result["d_prime"] is None else f"{result['d_prime']:.2f}",
                f"{count['genuine']:,}",
                f"{count['impostor']:,}",
                _lost(faces),
            ]
        )
    return align(rows)


def _groups(models: dict, notes: dict[str, str]) -> list[str]:
    """A row each group and model, at the group's own thresholds."""
    rows = []
    for model, result in models.items():
        fars = [row["far"] for row in result["tar_at_far"]]
        for group in result.get("by_group", ()):
            tars = [_tar(row, notes) for row in group["tar_at_far"]] or ["-"] * len(fars)
            count = group["comparisons"]
            rows.append(
                [
                    group["group"],
                    model,
                    *tars,
                    f"{group['faces']['people']:,}",
                    f"{count['genuine']:,}",
                    f"{count['impostor']:,}",
                ]
            )
    return (
        align(
            [
                [
                    "group",
                    "model",
                    *(f"TAR@FAR={far:g}" for far in fars),
                    "people",
                    "genuine",
                    "impostor",
                ],
                *rows,
            ]
        )
        if rows
        else []
    )


def _accuracies(models: dict) -> list[str]:
    known = {model: result["accuracy"] for model, result in models.items() if "accuracy" in result}
    return [
        f"  {model}: accuracy {100 * of['mean']:.2f} +- {100 * of['std']:.2f} % in "
        f"{len(of['folds'])} folds"
        for model, of in known.items()
    ]


def _nearest(models: dict) -> list[str]:
    """TPR at the point of the ROC that is nearest to each FPR, as the IJB protocol has it."""
    known = {model: result["nearest"] for model, result in models.items() if "nearest" in result}
    if not known:
        return []
    head = ["model", *(f"TPR~FPR={row['fpr']:g}" for row in next(iter(known.values())))]
    return align(
        [
            head,
            *(
                [model, *(f"{100 * row['tpr']:.2f}" for row in rows)]
                for model, rows in known.items()
            ),
        ]
    )


def _searches(entry: dict, notes: dict[str, str]) -> list[str]:
    """Ranks and FNIR of a searched gallery, a row each model."""
    found = {
        model: result["identification"]
        for model, result in entry["models"].items()
        if "identification" in result
    }
    if not found:
        return []
    any_of = next(iter(found.values()))
    enrolled, searches = any_of["enrolled"], any_of["searches"]
    counted = (
        f"{searches['mated']:,} with a mate, {searches['non_mated']:,} without, "
        f"{searches['not_found']:,} without a face"
    )
    lines = [
        f"  searches: {counted}; in a gallery of {enrolled['people']:,} people, "
        f"{enrolled['photographs']:,} photographs"
    ]
    rows = [
        [
            "model",
            *(f"rank {row['rank']}" for row in any_of["cmc"]),
            *(f"FNIR@FPIR={row['fpir']:g}" for row in any_of["open_set"]),
        ]
    ]
    for model, about in found.items():
        ranks = [_rate(row["rate"], row["interval"]) for row in about["cmc"]]
        rows.append(
            [
                model,
                *ranks,
                *(
                    _rate(row["fnir"], row["interval"], row["note"], notes)
                    for row in about["open_set"]
                ),
            ]
        )
    return [*lines, *align(rows)]


def _galleries(entry: dict, notes: dict[str, str]) -> list[str]:
    """Ranks and FNIR of several galleries, a row each gallery and model."""
    found = {
        model: result["searched"]
        for model, result in entry["models"].items()
        if "searched" in result
    }
    if not found:
        return []
    lines = next(
        (
            _among(result["distractors"], result["searched"])
            for result in entry["models"].values()
            if "distractors" in result
        ),
        [],
    )
    fpirs = [line["fpir"] for line in next(iter(found.values()))[0]["open_set"]]
    head = [
        "gallery",
        "model",
        "searches",
        "no face",
        *(f"rank {rank}" for rank in RANKS),
        *(f"FNIR@FPIR={fpir:g}" for fpir in fpirs),
    ]
    rows = [head]
    for number, row in enumerate(next(iter(found.values()))):
        for model, mine in ((model, galleries[number]) for model, galleries in found.items()):
            ranks = {line["rank"]: _rate(line["rate"], line["interval"]) for line in mine["cmc"]}
            fnirs = [
                _rate(line["fnir"], line["interval"], line["note"], notes)
                for line in mine["open_set"]
            ] or ["-"] * len(fpirs)
            counted = f"{mine['searches']['mated']:,}", f"{mine['searches']['not_found']:,}"
            rows.append([row["gallery"], model, *counted, *(ranks[rank] for rank in RANKS), *fnirs])
    return [*lines, *align(rows)]


def _among(about: dict, searched: list[dict]) -> list[str]:
    where = "of a second set" if about["second_set"] else "of people of this set who are not probed"
    lost = about["left_out"]
    left = (
        f"left out: {lost['people']:,} of people who are probed, {lost['not_found']:,} without a "
        "face"
    )
    lines = [
        f"  {about['probed']:,} people searched for among {about['photographs']:,} photographs "
        f"{where} ({left})"
    ]
    each = {row["searches"]["condition"]: row["searches"] for row in searched}
    ways = {NONMASK: ", each both ways", MASK: ""}
    lines += [
        f"  {name} probes: {one['pairs']:,} pairs of photographs{ways[name]}: {one['mated']:,} "
        "searches"
        for name, one in each.items()
    ]
    rows = [row for row in about["verification"] if row["tar"] is not None]
    return lines + [
        f"  {row['probes']} probes, one to one: TAR {_rate(row['tar'], row['interval'])} % at "
        f"FAR {row['far']:g}"
        for row in rows
    ]


def _rate(
    rate: float | None, span: dict | None, note: str = "", notes: dict[str, str] | None = None
) -> str:
    return _tar({"tar": rate, "interval": span, "note": note}, {} if notes is None else notes)


def _change(row: dict) -> str:
    return _difference({**row, "tar_difference": row["difference"]}, f"in {row['figure']}")


def _draw(models: dict) -> list[str]:
    draw = next(iter(models.values())).get("draw")
    if draw is None:
        return []
    digests = f"parameters {draw['parameters_sha256'][:16]}, pixels {draw['pixels_sha256'][:16]}"
    return [
        f"  masks drawn on {draw['faces']:,} faces with --mask-seed {draw['seed']}: sha256 of "
        f"{digests}"
    ]


def _operating(points: dict) -> list[str]:
    """Thresholds with and without masks, a line each."""
    lines = []
    for model, point in points.items():
        lines += ["", f"operating point of {model}"]
        rows = [["comparison", "threshold", "FMR", "FNMR %"]]
        rows += [
            [
                name.replace("_", " "),
                f"{at['threshold']:.4f}",
                f"{at['fmr']:.3g}",
                f"{100 * at['fnmr']:.2f}",
            ]
            for name, at in point.items()
        ]
        lines += align(rows)
    return lines


def _tar(row: dict, notes: dict[str, str]) -> str:
    mark = " " + notes.setdefault(row["note"], f"[{len(notes) + 1}]") if row["note"] else ""
    if row["tar"] is None:
        return f"-{mark}"
    span = row["interval"]
    between = f" ({100 * span['low']:.1f}-{100 * span['high']:.1f})" if span else ""
    return f"{100 * row['tar']:.2f}{between}{mark}"


def _lost(faces: dict) -> str:
    return f"{faces['failures_to_acquire']} ({100 * faces['failure_to_acquire_rate']:.1f} %)"


def _difference(row: dict, where: str = "") -> str:
    span = row["interval"]
    low, high = 100 * span["low"], 100 * span["high"]
    sure = "" if low > 0 or high < 0 else ", which may be none"
    change = f"{100 * row['tar_difference']:+.2f} points ({low:+.2f} to {high:+.2f}{sure})"
    at = where or f"at FAR {row['far']:g}"
    return f"  {row['model']} less {row['against']} {at}: {change}"


def align(rows: list[list[str]]) -> list[str]:
    """Pad cells to columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
