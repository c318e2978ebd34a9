"""`kit.py cluster`: identities for faces that have none."""

from typing import Any

from mfr_kit.cli import _next
from mfr_kit.cli._command import command
from mfr_kit.clustering.options import ClusterOptions


def add_to(app: Any) -> None:
    """Register the command."""
    app.command("cluster", rich_help_panel="Data")(command(ClusterOptions, cluster, then=_then))


def cluster(options: ClusterOptions) -> None:
    """Give identities to a face set without labels, or with labels that are not to be trusted:
    faces that are near each other become one person.
    """
    from mfr_kit.clustering.cluster import cluster as run
    from mfr_kit.clustering.cluster import list_beside
    from mfr_kit.clustering.report import describe, tabulate

    found = run(options)
    for line in describe(found):
        print(line)
    for line in tabulate(found):
        print(line)
    if options.out is not None:
        print(f"{options.out}: the set; {list_beside(options.out)}: which face is whose")


def _then(options: ClusterOptions) -> _next.Words:
    return None if options.out is None else _next.split(options.out)
