"""`kit.py assets list | verify | fetch`."""


def add_to(app) -> None:
    """Register the group of commands."""
    from mfr_kit.cli._help import App

    group = App(
        help="Model and data files: what there is, whether it is sound, and fetching it.",
    )
    group.command("list")(list_assets)
    group.command("verify")(verify)
    group.command("fetch")(fetch)
    app.add_typer(group, name="assets", rich_help_panel="Set up")


def list_assets() -> None:
    """Show every asset, where it lies on this machine, its size and licence."""
    from mfr_kit import assets

    for entry in assets.ASSETS.values():
        print(f"{entry.name:11} {entry.size_bytes / 2**20:6.1f} MiB  {entry.about}")
        print(f"{'':11} {assets.where(entry)}")
        print(f"{'':11} licence: {entry.licence}")


def verify() -> None:
    """Check the sum of every asset that is on this machine."""
    from mfr_kit import assets
    from mfr_kit.errors import KitError

    broken = []
    for entry in assets.ASSETS.values():
        found = assets.find(entry)
        try:
            print(
                f"{entry.name:11} "
                f"{'not on this machine' if found is None else f'ok  {assets.check(entry, found)}'}"
            )
        except KitError as error:
            print(f"{entry.name:11} WRONG  {error}")
            broken.append(entry.name)
    if broken:
        raise KitError(
            f"wrong checksum: {', '.join(broken)}; delete the files named above and fetch them "
            "again"
        )


def fetch(name: str) -> None:
    """Download an asset into the cache folder and check it; the only command that uses the
    network.
    """
    from mfr_kit import assets

    print(f"{name}: {assets.fetch(name)}")
