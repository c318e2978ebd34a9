"""`kit.py tracks`: the challenge tracks and their limits."""


def add_to(app) -> None:
    app.command("tracks", rich_help_panel="Submit")(tracks)


def tracks() -> None:
    """List the challenge tracks with their limits. A new track is one file in submission/."""
    from mfr_kit.submission import tracks as known

    for name in known.names():
        track = known.load(name)
        print(f"{name}: {track.title}")
        print(f"    limits    {known.describe(track)}")
        print(
            "    data      "
            f"{' or '.join(track.lineage.training_sets) if track.lineage.training_sets else 'any'}"
        )
        print(f"    runtime   {track.runtime}")
        print(f"    metric    {track.metric}")
        for note in track.notes:
            print(f"    note      {note}")
