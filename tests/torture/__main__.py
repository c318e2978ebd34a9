"""Command line of the campaign: `python -m tests.torture [ROW ...]`."""

import argparse
import subprocess
import sys
from pathlib import Path

from mfr_kit import files
from tests.torture import campaign, page

ROOT = Path(__file__).resolve().parents[2]


def commit() -> str:
    """Return the commit that is checked out, with + where files other than the results differ."""
    told = _git("rev-parse", "--short=8", "HEAD")
    if told.returncode:
        return "unknown"
    differs = _git("diff", "--quiet", "HEAD", "--", ":!results", ":!docs").returncode
    return told.stdout.strip() + "+" * bool(differs)


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)


def main() -> int:
    """Run what is missing of some rows; 1 where anything went wrong in them."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=campaign.__doc__)
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(campaign.names())}; all but soak")
    parser.add_argument("--work", type=Path, default=Path("runs/torture"), help="a tmpfs is quick")
    parser.add_argument("--out", type=Path, default=ROOT / "results/torture.json")
    parser.add_argument("--jobs", type=int, default=2, help="rows at a time")
    parser.add_argument("--again", action="store_true", help="only the rounds that went wrong")
    parser.add_argument("--page", type=Path, help="only write this page of what --out holds")
    given = parser.parse_args()
    if unknown := set(given.rows) - set(campaign.names()):
        parser.error(f"no row {', '.join(sorted(unknown))}")
    if given.page:
        files.write_text(given.page, page.markdown(campaign.read(given.out)))
        return 0
    wanted = given.rows or [name for name in campaign.names() if name != "soak"]
    work = given.work.resolve()
    if given.again:
        records = campaign.read(given.out)
        for name in set(wanted) & records.keys():
            records[name] = campaign.try_again(name, records[name], work / name, commit())
            files.write_json(given.out, records)
    else:
        records = campaign.run(wanted, work, given.out, given.jobs, commit())
    return int(any(records[name]["wrong"] for name in wanted if name in records))


if __name__ == "__main__":
    sys.exit(main())
