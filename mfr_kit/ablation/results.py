"""The pages of tables and plots made from records; every figure in them is one of theirs or
computed from them here.
"""

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from mfr_kit import files
from mfr_kit.ablation.ablate import TEACHER, default_options
from mfr_kit.ablation.figures import BARE, MASKED, mean_tar, overview, rates_table
from mfr_kit.ablation.options import ResultsOptions
from mfr_kit.ablation.record import read_record, refuse_other_layout
from mfr_kit.ablation.summary import fill_block, summarise
from mfr_kit.errors import KitError
from mfr_kit.evaluation.report import plot
from mfr_kit.evaluation.verification.bootstrap import LEVEL
from mfr_kit.evaluation.verification.rates import CLAIM, COMPARE
from mfr_kit.options import names_of_inputs, under_current_names
from mfr_kit.paths import check_output, refuse_other
from mfr_kit.records import read_text
from mfr_kit.shipped import folder as folder_of_data
from mfr_kit.training.options import distill_options


def write(options: ResultsOptions) -> str:
    """Write the summary, a page a table beside it, and a README's block; returns a line about
    them.

    Raises:
        KitError: no records, or one that cannot be read; a README without a block to fill.
    """
    refuse_other(options.out, ".md", "--out")
    folder = options.out.with_suffix("")
    check_output(folder, "folder", "--out")
    tables = {name: _by_setting(records) for name, records in _read(options.records).items()}
    if options.readme is not None:
        refuse_other(options.readme, ".md", "--readme")
        readme = read_text(options.readme, "give a page that is there")
        files.write_text(options.readme, fill_block(readme, tables, str(options.readme)))
    lines = _lead()
    for name, by_setting in sorted(tables.items()):
        page = folder / f"{name}.md"
        files.write_text(page, "\n".join(_page(name, by_setting, folder / name)) + "\n")
        title = next(iter(by_setting.values()))[0]["title"]
        link = f"[{title}]({folder.name}/{name}.md)"
        lines += ["", f"## {link}", "", _origin(name, by_setting), "", *summarise(by_setting)]
    files.write_text(options.out, "\n".join(lines) + "\n")
    cells = sum(len(records) for table in tables.values() for records in table.values())
    return f"{options.out}: {cells} records of {len(tables)} table(s)"


def _lead() -> list[str]:
    return [
        "# Results",
        "",
        "Made by `python kit.py results` from the records of `python kit.py ablate TABLE.toml`; "
        "nothing here is typed by hand.",
        "TAR in %; after the comma the difference to the teacher in points, with its "
        f"{LEVEL:.0%} interval.",
        "Each row stands at the least FAR that gives all settings of its table a figure.",
        "A title leads to its table's page: every setting, every FAR, the options, the curves.",
        "",
        *_reading(),
    ]


def _reading() -> list[str]:
    return [
        "A figure of several seeds is their mean. The intervals resample people, the same ones "
        "for student and teacher,",
        "and take the mean over the seeds in each resample: they tell what other people would "
        "change, not what other seeds would.",
        f"Fewer than {CLAIM} false accepts: no figure; fewer than {COMPARE}: no difference.",
    ]


def _by_setting(records: list[dict]) -> dict[str, list[dict]]:
    found = defaultdict(list)
    for record in sorted(records, key=lambda record: record["setting"] != TEACHER):
        found[record["setting"]].append(record)
    return dict(found)


def _origin(name: str, by_setting: dict[str, list[dict]]) -> str:
    """The command that made a table's records, how many they are, and what they cost."""
    records = [record for several in by_setting.values() for record in several]
    hours = sum(sum(record["seconds"].values()) for record in records) / 3600
    shipped = {path.stem for path in (folder_of_data("configs") / "ablations").glob("*.toml")}
    table = f"configs/ablations/{name}.toml" if name in shipped else f"{name}.toml"
    command = f"`python kit.py ablate {table} --work runs/ablations`"
    return f"{command}: {len(records)} cells, {hours:.1f} h."


def _read(folder: Path) -> dict[str, list[dict]]:
    tables = defaultdict(list)
    for path in sorted(Path(folder).glob("*/*.json")):
        record = read_record(path)
        if "options" in record:
            given = under_current_names(distill_options(), record["options"], str(path))
            record["options"] = {**default_options(), **given}
        known = tables[record["table"]]
        if known:
            refuse_other_layout(path, record, known[0])
        known.append(record)
    if not tables:
        raise KitError(f"no records under {folder}: `kit.py ablate TABLE.toml` makes them")
    return tables


def _page(name: str, by_setting: dict[str, list[dict]], plots: Path) -> list[str]:
    """The page of one table; its plots are written into a folder beside it."""
    records = [record for several in by_setting.values() for record in several]
    commits = sorted({(record["commit"] or "unknown")[:8] for record in records})
    lines = [
        f"# {records[0]['title']}",
        "",
        _origin(name, by_setting),
        f"Measured at commit {', '.join(commits)}; written by `python kit.py results`.",
        "",
        "TAR in %, in brackets the least and the greatest of the seeds. Differences are in points.",
        *_reading(),
        "Hours are the cells' own: weights made from other cells' runs count none of those "
        "runs' training.",
    ]
    lines += ["", "## Settings", "", *_changes(by_setting)]
    lines += ["", "## All sets, at the least FAR with a figure", "", *overview(by_setting)]
    for set_name, shape in records[0]["sets"].items():
        for protocol in shape["protocols"]:
            people = f"{shape['faces']} faces of {shape['people']} people"
            lines += ["", f"## {set_name}, {protocol}", "", f"{people}.", ""]
            lines += rates_table(by_setting, set_name, protocol)
    for title, file, svg in _plots(by_setting):
        files.write_text(plots / file, svg)
        lines += ["", f"![{title}]({plots.name}/{file})"]
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
    names = sorted({key for values in options.values() for key in values} & telling_options())
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


def telling_options() -> set[str]:
    """Name the options that tell settings apart: the inputs of a run, whatever its seed."""
    return names_of_inputs(distill_options()) - {"seed"}


def _plain(value: object) -> str:
    return (
        "default"
        if value is None
        else ", ".join(map(str, value))
        if isinstance(value, list)
        else str(value)
    )


def _plots(by_setting: dict[str, list[dict]]) -> list[tuple[str, str, str]]:
    """Title, file name and SVG of each plot that the records can give."""
    made = []
    curves = {
        name: _mean_curve(records)
        for name, records in by_setting.items()
        if all(record.get("curve") for record in records)
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
            name: (mean_tar(records, set_name, BARE), mean_tar(records, set_name, MASKED))
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


def _ends(values: list[float]) -> tuple[float, float]:
    return min(values) - 0.5, max(values) + 0.5


def _by_ratio(by_setting: dict[str, list[dict]], set_name: str) -> list[tuple[float, float]]:
    """Mask ratio and masked TAR of the settings that were trained and differ in nothing else."""
    found = defaultdict(dict)
    for records in by_setting.values():
        options = records[0].get("options") if records[0].get("curve") else None
        tar = (
            mean_tar(records, set_name, MASKED)
            if MASKED in records[0]["sets"][set_name]["protocols"]
            else None
        )
        if options and tar is not None:
            told = telling_options() - {"mask_ratio"}
            rest = {key: value for key, value in options.items() if key in told}
            found[json.dumps(rest, sort_keys=True)][options["mask_ratio"]] = tar
    most = max(found.values(), key=len, default={})
    return sorted(most.items())
