"""`check` and `verify` in a process of their own: what they look at is a stranger's, and they run
it.
"""

import dataclasses
from pathlib import Path
from typing import Any

from mfr_kit import limited_process
from mfr_kit.submission import check, verify
from mfr_kit.submission.rules import Row


def check_apart(
    model: Path, track: str, run: Path | None, latency: bool, limit_s: int, limit_mib: int
) -> list[Row]:
    """Apply every rule as `check.check` does.

    Args:
        model: the .onnx file.
        track: whose rules are applied.
        run: folder that the file came from.
        latency: whether the model is timed.
        limit_s: seconds that all of it may take.
        limit_mib: memory that it may take.
    Raises:
        KitError: as `check.check`, or a limit was passed.
    """
    given = {"model": str(model), "track": track, "run": run and str(run), "latency": latency}
    return _rows("check_rows", given, str(model), limit_s, limit_mib)


def verify_apart(package: Path, limit_s: int, limit_mib: int) -> list[Row]:
    """Re-run every check on a package as `verify.verify` does; see `check_apart`.

    Raises:
        KitError: as `verify.verify`, or a limit was passed.
    """
    return _rows("verify_rows", {"package": str(package)}, str(package), limit_s, limit_mib)


def check_rows(model: str, track: str, run: str | None, latency: bool) -> list[dict]:
    """What the process of `check_apart` answers."""
    return _plain(check.check(Path(model), track, Path(run) if run else None, latency))


def verify_rows(package: str) -> list[dict]:
    """What the process of `verify_apart` answers."""
    return _plain(verify.verify(Path(package)))


def _rows(function: str, given: dict[str, Any], what: str, limit_s: int, mib: int) -> list[Row]:
    found = limited_process.call(f"{__name__}:{function}", given, what, limit_s, mib)
    return [Row(**row) for row in found]


def _plain(rows: list[Row]) -> list[dict]:
    return [dataclasses.asdict(row) for row in rows]
