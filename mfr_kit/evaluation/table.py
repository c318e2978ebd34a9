"""The report as plain text: aligned, readable in a log."""


def text(report: dict) -> str:
    """Lay out a report of `run.evaluate` for a terminal."""
    lines = _set(report["set"]) if report["set"] else []
    lines += [f"set {one['name']}: {one['pairs']:,} pairs, {one['same']:,} of one person" for one in report["bins"]]
    notes: dict[str, str] = {}
    for name, entry in report["protocols"].items():
        lines += (
            ["", f"{name}: {entry['title']}"]
            + _table(entry["models"], notes)
            + _groups(entry["models"], notes)
            + _accuracies(entry["models"])
            + _draw(entry["models"])
            + [_difference(row) for row in entry["differences"]]
        )
    for model, found in (report["challenge"] or {}).items():
        lines += ["", f"challenge's score of {model}: {found['text']}"]
    lines += _operating(report["operating_point"] or {})
    return "\n".join([*lines, *([""] if notes else []), *(f"{mark} {note}" for note, mark in notes.items())])


def _set(about: dict) -> list[str]:
    lost, here, sampled = about["not_found"], about["conditions"], about["sampled"]
    part = [f"a sample: {sampled['people']:,} of {sampled['of_people']:,} people, drawn with --seed {sampled['seed']}"] if sampled else []
    return [
        *part,
        f"set {about['name']}: {about['people']:,} people, {here['nonmask']:,} unmasked and {here['mask']:,} masked faces",
        f"no face found in {lost['nonmask']} unmasked and {lost['mask']} masked photographs: their comparisons count as non-matches",
    ]


def _table(models: dict, notes: dict[str, str]) -> list[str]:
    fars = [row["far"] for row in next(iter(models.values()))["tar_at_far"]]
    rows = [["model", *(f"TAR@FAR={far:g}" for far in fars), "EER", "d'", "genuine", "impostor", "not found"]]
    for model, result in models.items():
        count, faces = result["comparisons"], result["faces"]
        tars = [_tar(row, notes) for row in result["tar_at_far"]]
        eer = f"{100 * result['eer']['rate']:.2f}"
        rows.append([model, *tars, eer, f"{result['d_prime']:.2f}", f"{count['genuine']:,}", f"{count['impostor']:,}", _lost(faces)])
    return align(rows)


def _groups(models: dict, notes: dict[str, str]) -> list[str]:
    """A row each group and model, at the group's own thresholds."""
    rows = []
    for model, result in models.items():
        fars = [row["far"] for row in result["tar_at_far"]]
        for group in result.get("by_group", ()):
            tars = [_tar(row, notes) for row in group["tar_at_far"]] or ["-"] * len(fars)
            count = group["comparisons"]
            rows.append([group["group"], model, *tars, f"{group['faces']['people']:,}", f"{count['genuine']:,}", f"{count['impostor']:,}"])
    return align([["group", "model", *(f"TAR@FAR={far:g}" for far in fars), "people", "genuine", "impostor"], *rows]) if rows else []


def _accuracies(models: dict) -> list[str]:
    known = {model: result["accuracy"] for model, result in models.items() if "accuracy" in result}
    return [
        f"  {model}: accuracy {100 * of['mean']:.2f} +- {100 * of['std']:.2f} % in {len(of['folds'])} folds" for model, of in known.items()
    ]


def _draw(models: dict) -> list[str]:
    draw = next(iter(models.values())).get("draw")
    if draw is None:
        return []
    digests = f"parameters {draw['parameters_sha256'][:16]}, pixels {draw['pixels_sha256'][:16]}"
    return [f"  masks drawn on {draw['faces']:,} faces with --mask-seed {draw['seed']}: sha256 of {digests}"]


def _operating(points: dict) -> list[str]:
    """Thresholds with and without masks, a line each."""
    lines = []
    for model, point in points.items():
        lines += ["", f"operating point of {model}"]
        rows = [["comparison", "threshold", "FMR", "FNMR %"]]
        rows += [
            [name.replace("_", " "), f"{at['threshold']:.4f}", f"{at['fmr']:.3g}", f"{100 * at['fnmr']:.2f}"] for name, at in point.items()
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


def _difference(row: dict) -> str:
    span = row["interval"]
    low, high = 100 * span["low"], 100 * span["high"]
    sure = "" if low > 0 or high < 0 else ", which may be none"
    change = f"{100 * row['tar_difference']:+.2f} points ({low:+.2f} to {high:+.2f}{sure})"
    return f"  {row['model']} less {row['against']} at FAR {row['far']:g}: {change}"


def align(rows: list[list[str]]) -> list[str]:
    """Pad cells to columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
