"""What a track's zip holds, one layout a file, each with `files(request) -> dict[str, Path | bytes]`; found by folder."""
