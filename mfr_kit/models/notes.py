"""What the kit does with an odd model file, said on stderr once for each file."""

import sys

_said: set[str] = set()


def say_once(text: str) -> None:
    """Print `note: TEXT` on stderr, unless this process did so before."""
    if text not in _said:
        _said.add(text)
        print(f"note: {text}", file=sys.stderr)
