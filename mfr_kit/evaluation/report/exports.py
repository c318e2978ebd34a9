"""A report's figures as tables for other programs: CSV, Markdown and LaTeX."""

import re
from collections.abc import Iterator

from mfr_kit.evaluation.search.identification import figure_of_fpir, figure_of_rank, searches_of

COLUMNS = (
    "protocol",
    "model",
    "far",
    "tar",
    "tar_macro",
    "low",
    "high",
    "threshold",
    "false_accepts",
    "true_accepts",
    "genuine",
    "impostor",
    "note",
)
SEARCH_COLUMNS = (
    "protocol",
    "model",
    "gallery",
    "enrolled",  # photographs
    "mated",  # searches
    "non_mated",
    "not_found",
    "figure",
    "value",
    "low",
    "high",
    "threshold",
    "false_positives",
    "note",
)
GROUP_COLUMNS = ("group", "people", *COLUMNS)
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
_LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''"}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~!&$])")


def rows(report: dict) -> Iterator[dict]:
    """Yield what `report.csv` holds: a row each protocol, model and FAR, by `COLUMNS`."""
    for protocol, entry in report["protocols"].items():
        for model, result in entry["models"].items():
            for row in result["tar_at_far"]:
                span = row["interval"] or {"low": None, "high": None}
                about = {"protocol": protocol, "model": model}
                known = {**row, **span, **about, **result["comparisons"]}
                yield {name: known[name] for name in COLUMNS}


def group_rows(report: dict) -> Iterator[dict]:
    """Yield what `groups.csv` holds: a row each protocol, model, group of people and FAR, by
    `GROUP_COLUMNS`.
    """
    for protocol, entry in report["protocols"].items():
        for model, result in entry["models"].items():
            for group in result.get("by_group", ()):
                about = {"group": group["group"], "people": group["faces"]["people"]}
                about |= {"protocol": protocol, "model": model, **group["comparisons"]}
                for row in group["tar_at_far"]:
                    known = {**row, **(row["interval"] or {"low": None, "high": None}), **about}
                    yield {name: known[name] for name in GROUP_COLUMNS}


def search_rows(report: dict) -> Iterator[dict]:
    """Yield what `searches.csv` holds: a row each rank and FNIR, by `SEARCH_COLUMNS`."""
    for protocol, entry in report["protocols"].items():
        for model, result in entry["models"].items():
            for gallery, found in searches_of(result):
                about = {
                    "protocol": protocol,
                    "model": model,
                    "gallery": gallery,
                    "enrolled": found["enrolled"]["photographs"],
                }
                about |= {
                    name: found["searches"][name] for name in ("mated", "non_mated", "not_found")
                }
                for row in found["cmc"]:
                    yield _search_row(about, figure_of_rank(row["rank"]), row["rate"], row)
                for row in found["open_set"]:
                    yield _search_row(about, figure_of_fpir(row["fpir"]), row["fnir"], row)


def _search_row(about: dict, figure: str, value: float | None, row: dict) -> dict:
    known = {**about, **row, **(row["interval"] or {}), "figure": figure, "value": value}
    return {name: known.get(name) for name in SEARCH_COLUMNS}


def markdown(report: dict) -> str:
    """Lay the summary out as a table of GitHub's Markdown."""
    header, lines = _summary(report)
    cells = [[_MARKDOWN.sub(r"\\\1", _one_line(cell)) for cell in line] for line in lines]
    return "\n".join(
        [
            f"| {' | '.join(header)} |",
            f"| --- | --- |{' ---: |' * (len(header) - 2)}",
            *(f"| {' | '.join(line)} |" for line in cells),
            "",
        ]
    )


def latex(report: dict) -> str:
    """Lay the summary out as a `tabular` of LaTeX with the rules of booktabs."""
    header, lines = _summary(report)
    body = []
    for line, previous in zip(lines, [None, *lines], strict=False):
        if previous is not None and previous[0] != line[0]:
            body.append(r"\midrule")
        body.append(" & ".join(map(_latex, line)) + r" \\")
    return "\n".join(
        [
            "% \\usepackage{booktabs}",
            rf"\begin{{tabular}}{{ll{'r' * (len(header) - 2)}}}",
            r"\toprule",
            " & ".join(map(_latex, header)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _latex(cell: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in _one_line(cell))


def _one_line(cell: str) -> str:
    return " ".join(cell.split())


def _summary(report: dict) -> tuple[list[str], list[list[str]]]:
    """The header, and a row each protocol and model: TAR in percent with its interval, EER, d'."""
    first = next(iter(next(iter(report["protocols"].values()))["models"].values()))
    fars = [f"TAR at FAR {row['far']:g}, %" for row in first["tar_at_far"]]
    lines = [
        [
            entry["title"],
            model,
            *map(_tar, result["tar_at_far"]),
            f"{100 * result['eer']['rate']:.2f}",
            "-" if result["d_prime"] is None else f"{result['d_prime']:.2f}",
        ]
        for entry in report["protocols"].values()
        for model, result in entry["models"].items()
    ]
    return ["Comparison", "Model", *fars, "EER, %", "d'"], lines


def _tar(row: dict) -> str:
    if row["tar"] is None:
        return "-"
    span = row["interval"]
    bounds = f" ({100 * span['low']:.1f} to {100 * span['high']:.1f})" if span else ""
    return f"{100 * row['tar']:.2f}{bounds}"
