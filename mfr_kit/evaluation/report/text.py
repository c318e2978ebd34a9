"""The report as plain text: aligned, readable in a log."""

from mfr_kit.data.face_set.faceset import MASK
from mfr_kit.evaluation.report.cells import align, difference_line, tar_cell
from mfr_kit.evaluation.report.search_text import galleries, searches
from mfr_kit.evaluation.report.verdict import verdict


def text(report: dict) -> str:
    """Lay out a report of `run.evaluate` for a terminal."""
    lines = [f"WARNING: {row['text']}: its figures flatter" for row in report.get("overlap") or ()]
    lines += _set(report["set"]) if report["set"] else []
    lines += _alignments(report["realigned"]) if report["realigned"] else []
    lines += [
        f"set {pair_set['name']}: {pair_set['pairs']:,} pairs, {pair_set['same']:,} of one person"
        for pair_set in report["bins"]
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
            + [difference_line(row) for row in entry["differences"]]
            + searches(entry, notes)
            + galleries(entry, notes)
            + [_change(row) for row in entry.get("identification_differences", ())]
            + [_change(row) for row in entry.get("accuracy_differences", ())]
        )
    for model, found in (report["challenge"] or {}).items():
        lines += ["", f"challenge's score of {model}: {found['text']}"]
    lines += _operating(report["operating_point"] or {})
    noted = [f"{mark} {note}" for note, mark in notes.items()]
    blank = [""] if notes else []
    return "\n".join([*lines, *blank, *noted, "", verdict(report)["text"]])


def _set(about: dict) -> list[str]:
    missing, here, sampled = about["not_found"], about["conditions"], about["sampled"]
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
        f"no face found in {missing['nonmask']} unmasked and {missing['mask']} masked photographs: "
        "their comparisons count as non-matches",
    ]


def _alignments(matched: dict) -> list[str]:
    old, new = matched["old"], matched["new"]
    missing = f"left out: {old['left_out']:,} of {old['set']}, {new['left_out']:,} of {new['set']}"
    return [
        f"{matched['photographs']:,} photographs, old alignment as in {old['set']}, new "
        f"alignment as in {new['set']}; {missing}",
        *(_drift(row) for row in matched["drift"]),
    ]


def _drift(row: dict) -> str:
    condition = "masked" if row["condition"] == MASK else "unmasked"
    return (
        f"  {row['model']}: cosine between the two embeddings of a photograph, {condition}: "
        f"{row['mean']:.3f} in the mean, below {row['low']:.3f} for 5 % of {row['photographs']:,}"
    )


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
        tars = [tar_cell(row, notes) for row in result["tar_at_far"]]
        eer = f"{100 * result['eer']['rate']:.2f}"
        rows.append(
            [
                model,
                *tars,
                eer,
                "-" if result["d_prime"] is None else f"{result['d_prime']:.2f}",
                f"{count['genuine']:,}",
                f"{count['impostor']:,}",
                _not_found(faces),
            ]
        )
    return align(rows)


def _groups(models: dict, notes: dict[str, str]) -> list[str]:
    """A row each group and model, at the group's own thresholds."""
    rows = []
    for model, result in models.items():
        fars = [row["far"] for row in result["tar_at_far"]]
        for group in result.get("by_group", ()):
            tars = [tar_cell(row, notes) for row in group["tar_at_far"]] or ["-"] * len(fars)
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


def _change(row: dict) -> str:
    return difference_line({**row, "tar_difference": row["difference"]}, f"in {row['figure']}")


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


def _not_found(faces: dict) -> str:
    return f"{faces['failures_to_acquire']} ({100 * faces['failure_to_acquire_rate']:.1f} %)"
