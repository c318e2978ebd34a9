"""How much of a shard is on the disk for certain: what was written since then is believed after a
kill, when the system still has it, and made again after a power cut, when it may be lost.
"""

import json
from pathlib import Path

from mfr_kit import files
from mfr_kit.augment.journal import WORK

EVERY = 64  # chunks between two syncs of the filesystem: a minute of work, perhaps
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot() -> str:
    """Name this run of the machine; "" where the system does not say."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


class SafePoint:
    """The mark of a shard, beside its journal.

    Args:
        building: the folder where the set is put together.
        shard: its number.
    """

    def __init__(self, building: Path, shard: int) -> None:
        self._building = building
        self._path = building / WORK / f"{shard:05d}.safe.json"
        self._notes = 0

    def believable(self) -> int | None:
        """Count the notes of the journal that can be believed; None for all that are there."""
        try:
            about = json.loads(self._path.read_text(encoding="utf-8"))
            noted_at, notes = about["boot"], int(about["notes"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None if noted_at == boot() else notes

    def begin(self, notes: int) -> None:
        """Go on behind so many notes, which were believed."""
        self._notes = notes
        if not self._path.exists() or self.believable() is not None:
            self._mark()

    def advance(self) -> None:
        """Count a note; every now and then put all on the disk."""
        self._notes += 1
        if self._notes % EVERY == 0:
            files.sync_filesystem(self._building)
            self._mark()

    def _mark(self) -> None:
        files.write_json(self._path, {"boot": boot(), "notes": self._notes})
