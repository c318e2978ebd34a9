"""The pages of tables and plots made from records; every figure in them is one of theirs or
computed from them here.
"""

from collections import Counter, defaultdict
from pathlib import Path

from mfr_kit import files
from mfr_kit.ablation.cells import TEACHER
from mfr_kit.ablation.figures import overview, rates_table
from mfr_kit.ablation.keys import default_options, telling_options
from mfr_kit.ablation.plots import plots_of
from mfr_kit.ablation.record import read_record, refuse_other_layout
from mfr_kit.ablation.rivalry import against_table, compared_with
from mfr_kit.ablation.summary import fill_block, summarise
from mfr_kit.errors import KitError
from mfr_kit.evaluation import agreement
from mfr_kit.evaluation.verification.bootstrap import LEVEL
from mfr_kit.evaluation.verification.rates import CLAIM, COMPARE
from mfr_kit.option_names import under_current_names
from mfr_kit.paths import check_output, refuse_other
from mfr_kit.records import read_text
from mfr_kit.shipped import folder as folder_of_data
from mfr_kit.training.options import distill_options


def write(records: Path, out: Path, readme: Path | None = None) -> str:
    """Write the summary, a page a table beside it, and a README's block; returns a line about
    them.

    Args:
        records: folder of the records.
        out: the summary to write, a .md file.
        readme: page whose block is written anew; None for none.
    Raises:
        KitError: no records, or one that cannot be read; a README without a block to fill.
    """
    refuse_other(out, ".md", "--out")
    folder = out.with_suffix("")
    check_output(folder, "folder", "--out")
    tables = {name: _by_setting(rows) for name, rows in _read(records).items()}
    if readme is not None:
        refuse_other(readme, ".md", "--readme")
        page = read_text(readme, "give a page that is there")
        files.write_text(readme, fill_block(page, tables, str(readme)))
    lines = _lead()
    for name, by_setting in sorted(tables.items()):
        files.write_text(
            folder / f"{name}.md", "\n".join(_page(name, by_setting, folder / name)) + "\n"
        )
        title = next(iter(by_setting.values()))[0]["title"]
        link = f"[{title}]({folder.name}/{name}.md)"
        lines += ["", f"## {link}", "", _origin(name, by_setting), "", *summarise(by_setting)]
    files.write_text(out, "\n".join(lines) + "\n")
    cells = sum(len(rows) for table in tables.values() for rows in table.values())
    return f"{out}: {cells} records of {len(tables)} table(s)"


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
    tables: dict[str, list[dict]] = defaultdict(list)
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
    for base in compared_with(by_setting):
        if compared := against_table(by_setting, base):
            lines += ["", f"## Minus {base}", "", *compared]
    for set_name, shape in records[0]["sets"].items():
        for protocol in shape["protocols"]:
            people = f"{shape['faces']} faces of {shape['people']} people"
            meaning = f" {agreement.MEANING}" if protocol == agreement.PROTOCOL else ""
            lines += ["", f"## {set_name}, {protocol}", "", f"{people}.{meaning}", ""]
            lines += rates_table(by_setting, set_name, protocol)
    for title, file, svg in plots_of(by_setting):
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
    values_of = {
        name: {key: _plain(values.get(key)) for key in names} for name, values in options.items()
    }
    most = {
        key: Counter(values[key] for values in values_of.values()).most_common(1)[0][0]
        for key in names
    }
    differing = [
        key for key in names if any(values[key] != most[key] for values in values_of.values())
    ]
    lines = ["| setting | seeds | changed |", "| --- | --- | --- |"]
    for name, records in by_setting.items():
        seeds = (
            ", ".join(str(record["seed"]) for record in records if record["seed"] is not None)
            or "-"
        )
        own = (
            [
                f"{key} = {values_of[name][key]}"
                for key in differing
                if values_of[name][key] != most[key]
            ]
            if name in values_of
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
