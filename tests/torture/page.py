"""The page of the campaign's figures."""

from typing import Any

from tests.torture import campaign

HEAD = """# Torture

What is tried to lose work, to hang the kit or to get in, how often, and what came of it.
`make torture` runs it and goes on where it was stopped;
`python -m tests.torture --page docs/reference/torture.md` writes this page from
`results/torture.json`.

| | tried | wanted | rounds | trials | went wrong | at most | minutes |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def markdown(records: dict[str, Any]) -> str:
    """Compose the page: a line a row, then the kinds of its trials and what went wrong in it."""
    lines, sections = [], []
    for name in campaign.names():
        row, record = campaign.load(name), records.get(name)
        if record is None:
            lines.append(f"| {name} | {row.TITLE} | {row.WANTED} | not run | | | | |")
            continue
        most = ", ".join(f"{key} {value:.4g}" for key, value in sorted(record["most"].items()))
        trials, wrong = sum(record["trials"].values()), record["wrong"]
        mended = record.get("mended", [])
        count = f"{len(wrong)}" + f", {len(mended)} mended" * bool(mended)
        rounds = f"{record['rounds']:,} of {row.ROUNDS:,}"
        lines.append(
            f"| {name} | {row.TITLE} | {row.WANTED} | {rounds} | {trials:,} | {count} "
            f"| {most} | {record['seconds'] / 60:.1f} |"
        )
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in record["trials"].items())
        commits = ", ".join(record["commits"])
        sections.append(f"## {name}\n\n{row.__doc__}\nTrials: {kinds}. Commits: {commits}.\n")
        notes = [f"* `{note}`" for note in wrong] + [f"* mended: `{note}`" for note in mended]
        sections += [*notes, ""] * bool(notes)
    return HEAD + "\n".join([*lines, "", *sections]).rstrip() + "\n"
