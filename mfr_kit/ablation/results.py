"""The page of tables and plots made from records; every figure in it is one of theirs or
computed from them here.
"""

import json
import os
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from mfr_kit.ablation.ablate import TEACHER, default_options
from mfr_kit.ablation.options import ResultsOptions
from mfr_kit.ablation.record import read_record, refuse_other_layout
from mfr_kit.errors import KitError
from mfr_kit.evaluation.report import plot
from mfr_kit.evaluation.verification.bootstrap import LEVEL
from mfr_kit.evaluation.verification.rates import CLAIM, COMPARE
from mfr_kit.files import write_text
from mfr_kit.paths import check_output, refuse_other

BARE, MASKED = "nonmask-nonmask", "mask-nonmask"
# options that tell settings apart for nobody
HIDDEN = ("seed", "workers", "threads", "device", "log_every", "save_every", "tensorboard")


def write(options: ResultsOptions) -> str:
    """Write the page; returns a line about it.

    Raises:
        KitError: no records, or one that cannot be read.
    """
    refuse_other(options.out, ".md", "--out")
    tables = _read(options.records)
    plots = options.out.with_suffix("")
    for name in tables:
        check_output(plots / name, "folder", "--out")
    lines = [
        "# Results",
        "",
        "Made by `python kit.py results` from the records of `python kit.py ablate TABLE.toml`; "
        "nothing here is typed by hand. TAR in %.",
        "A figure of several seeds is their mean, the least and the greatest in brackets. "
        "Differences are to the teacher, in points, with",
        f"{LEVEL:.0%} intervals: people are resampled, the same ones for both, and the mean over "
        "the seeds is taken in each resample; so",
        "they tell what other people would change, not what other seeds would. Hours are the "
        "cells' own: weights made from other cells'",
        "runs count none of those runs' training.",
        "After a table's settings all sets stand side by side, each at the least FAR that gives "
        "all of them a figure.",
        f"Fewer than {CLAIM} false accepts: no figure; fewer than {COMPARE}: no difference.",
    ]
    for name, records in sorted(tables.items()):
        lines += ["", *_section(name, records, plots / name, options.out.parent)]
    write_text(options.out, "\n".join(lines) + "\n")
    cells = sum(map(len, tables.values()))
    return f"{options.out}: {cells} records of {len(tables)} table(s)"


def _read(folder: Path) -> dict[str, list[dict]]:
    tables = defaultdict(list)
    for path in sorted(Path(folder).glob("*/*.json")):
        record = read_record(path)
        if "options" in record:
            record["options"] = {**default_options(), **record["options"]}
        known = tables[record["table"]]
        if known:
            refuse_other_layout(path, record, known[0])
        known.append(record)
    if not tables:
        raise KitError(f"no records under {folder}: `kit.py ablate TABLE.toml` makes them")
    return tables


def _section(name: str, records: list[dict], folder: Path, page: Path) -> list[str]:
    by_setting = defaultdict(list)
    for record in sorted(records, key=lambda record: record["setting"] != TEACHER):
        by_setting[record["setting"]].append(record)
    hours = sum(sum(record["seconds"].values()) for record in records) / 3600
    commits = sorted({(record["commit"] or "unknown")[:8] for record in records})
    lines = [
        f"## {records[0]['title']}",
        "",
        f"`{name}`: {len(records)} cells, {hours:.1f} h, at commit {', '.join(commits)}.",
    ]
    lines += ["", *_changes(by_setting), "", *_overview(by_setting)]
    for set_name, shape in records[0]["sets"].items():
        for protocol in shape["protocols"]:
            lines += [
                "",
                f"**{set_name}, {protocol}** ({shape['faces']} faces of {shape['people']} people)",
                "",
            ]
            lines += _figures(by_setting, set_name, protocol)
    for title, file, svg in _plots(by_setting):
        write_text(folder / file, svg)
        lines += ["", f"![{title}]({Path(os.path.relpath(folder / file, page)).as_posix()})"]
    return lines


def _changes(by_setting: dict[str, list[dict]]) -> list[str]:
    """Say by which options the settings differ: what most of them have, and what each has
    instead.
    """
    options = {
        name: records[0]["options"]
        for name, records in by_setting.items()
        if "options" in records[0]
    }
    names = sorted({key for values in options.values() for key in values} - set(HIDDEN))
    told = {
        name: {key: _plain(values.get(key)) for key in names} for name, values in options.items()
    }
    most = {
        key: Counter(values[key] for values in told.values()).most_common(1)[0][0] for key in names
    }
    differing = [key for key in names if any(values[key] != most[key] for values in told.values())]
    lines = ["| setting | seeds | changed |", "| --- | --- | --- |"]
    for name, records in by_setting.items():
        seeds = (
            ", ".join(str(record["seed"]) for record in records if record["seed"] is not None)
            or "-"
        )
        own = (
            [f"{key} = {told[name][key]}" for key in differing if told[name][key] != most[key]]
            if name in told
            else []
        )
        lines.append(f"| {name} | {seeds} | {', '.join(own) or '-'} |")
    if differing:
        lines += [
            "",
            f"What is not changed: {', '.join(f'{key} = {most[key]}' for key in differing)}.",
        ]
    return lines


def _plain(value: object) -> str:
    return (
        "default"
        if value is None
        else ", ".join(map(str, value))
        if isinstance(value, list)
        else str(value)
    )


def _overview(by_setting: dict[str, list[dict]]) -> list[str]:
    """All settings and sets in one table: the mean TAR at the least FAR that every setting can
    be given a figure for.
    """
    columns = []
    for set_name, shape in next(iter(by_setting.values()))[0]["sets"].items():
        for protocol, rows in shape["protocols"].items():
            for place, row in sorted(enumerate(rows), key=lambda entry: entry[1]["far"]):
                tars = {
                    name: _tar(records, set_name, protocol, place)
                    for name, records in by_setting.items()
                }
                if None not in tars.values():
                    columns.append((f"{set_name}, {protocol} @ {row['far']:g}", tars))
                    break
    if not columns:
        return []
    lines = [
        "| setting | " + " | ".join(title for title, _ in columns) + " |",
        "| --- |" + " --- |" * len(columns),
    ]
    return lines + [
        f"| {name} | " + " | ".join(f"{tars[name]:.2f}" for _, tars in columns) + " |"
        for name in by_setting
    ]


def _figures(by_setting: dict[str, list[dict]], set_name: str, protocol: str) -> list[str]:
    teacher = by_setting.get(TEACHER)
    fars = [
        row["far"]
        for row in next(iter(by_setting.values()))[0]["sets"][set_name]["protocols"][protocol]
    ]
    lines = [
        "| setting | " + " | ".join(f"TAR @ {far:g} | less the teacher" for far in fars) + " |",
        "| --- |" + " --- | --- |" * len(fars),
    ]
    for name, records in by_setting.items():
        cells = []
        for place in range(len(fars)):
            rows = [record["sets"][set_name]["protocols"][protocol][place] for record in records]
            base = (
                teacher[0]["sets"][set_name]["protocols"][protocol][place]
                if teacher and name != TEACHER
                else None
            )
            cells += [_mean(rows), _difference(rows, base)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _claimed(rows: list[dict], least: int) -> bool:
    return all(row["tar"] is not None and (row["false_accepts"] or 0) >= least for row in rows)


def _mean(rows: list[dict]) -> str:
    if not _claimed(rows, CLAIM):
        return "-"
    values = [100 * row["tar"] for row in rows]
    return f"{np.mean(values):.2f}" + (
        f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
    )


def _difference(rows: list[dict], base: dict | None) -> str:
    """The mean over seeds less the teacher, with the interval of that very figure over people."""
    if base is None or not _claimed([*rows, base], COMPARE) or not base["resampled"]:
        return "-"
    if len({len(row["resampled"]) for row in [*rows, base]}) != 1:
        return "-"
    ours = np.mean([np.array(row["resampled"], float) for row in rows], axis=0)
    change = 100 * (ours - np.array(base["resampled"], float))
    low, high = np.nanquantile(change, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return (
        f"{100 * (np.mean([row['tar'] for row in rows]) - base['tar']):+.2f} ({low:+.2f} to "
        f"{high:+.2f})"
    )


def _plots(by_setting: dict[str, list[dict]]) -> list[tuple[str, str, str]]:
    """Title, file name and SVG of each plot that the records can give."""
    made = []
    curves = {
        name: _mean_curve(records)
        for name, records in by_setting.items()
        if records[0].get("curve")
    }
    if curves:
        steps = [step for points in curves.values() for step, _ in points]
        losses = [loss for points in curves.values() for _, loss in points]
        axes = plot.span("step", 0, max(steps)), plot.span("loss", min(losses), max(losses))
        made.append(
            (
                "Training curves, mean over the seeds",
                "curves.svg",
                plot.standalone("Training curves", *axes, curves, {}),
            )
        )
    for number, (set_name, shape) in enumerate(next(iter(by_setting.values()))[0]["sets"].items()):
        if not {BARE, MASKED} <= set(shape["protocols"]):
            continue
        far = shape["protocols"][BARE][0]["far"]
        points = {
            name: (_tar(records, set_name, BARE), _tar(records, set_name, MASKED))
            for name, records in by_setting.items()
        }
        points = {name: point for name, point in points.items() if None not in point}
        if points:
            labels = (
                f"bare against bare, TAR at {far:g} in %",
                f"masked against bare, TAR at {far:g} in %",
            )
            axes = [
                plot.span(label, *_ends([point[at] for point in points.values()]))
                for at, label in enumerate(labels)
            ]
            svg = plot.standalone(
                f"Trade-off on {set_name}",
                *axes,
                {n: [] for n in points},
                {n: [p] for n, p in points.items()},
            )
            made.append((f"Trade-off on {set_name}", f"trade-off-{number}.svg", svg))
        ratios = _by_ratio(by_setting, set_name)
        if len(ratios) > 2:
            axes = (
                plot.span("mask ratio", 0, max(x for x, _ in ratios)),
                plot.span("TAR in %", *_ends([y for _, y in ratios])),
            )
            svg = plot.standalone(
                f"Mask ratio on {set_name}",
                *axes,
                {"masked against bare": ratios},
                {"masked against bare": ratios},
            )
            made.append(
                (
                    f"TAR at {far:g} against mask ratio on {set_name}",
                    f"mask-ratio-{number}.svg",
                    svg,
                )
            )
    return made


def _mean_curve(records: list[dict]) -> list[tuple[float, float]]:
    columns = zip(*(record["curve"] for record in records), strict=False)
    return [(column[0][0], float(np.mean([loss for _, loss in column]))) for column in columns]


def _tar(records: list[dict], set_name: str, protocol: str, place: int = 0) -> float | None:
    rows = [record["sets"][set_name]["protocols"][protocol][place] for record in records]
    return 100 * float(np.mean([row["tar"] for row in rows])) if _claimed(rows, CLAIM) else None


def _ends(values: list[float]) -> tuple[float, float]:
    return min(values) - 0.5, max(values) + 0.5


def _by_ratio(by_setting: dict[str, list[dict]], set_name: str) -> list[tuple[float, float]]:
    """Mask ratio and masked TAR of the settings that were trained and differ in nothing else."""
    found = defaultdict(dict)
    for records in by_setting.values():
        options = records[0].get("options") if records[0].get("curve") else None
        tar = (
            _tar(records, set_name, MASKED)
            if MASKED in records[0]["sets"][set_name]["protocols"]
            else None
        )
        if options and tar is not None:
            rest = {
                key: value for key, value in options.items() if key not in (*HIDDEN, "mask_ratio")
            }
            found[json.dumps(rest, sort_keys=True)][options["mask_ratio"]] = tar
    most = max(found.values(), key=len, default={})
    return sorted(most.items())
