"""What processes of one job leave for one another, damaged: a teacher's bank, the rows of a divided
head, claims.
"""

import json
from pathlib import Path
from unittest import mock

import numpy as np

from tests import damage
from tests.side_files import Campaign

ROWS, BLOCK, SIZE = 10, 4, 8
DESCRIBED = {"model": "made up", "precision": "float32"}


def _rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ROWS, 2, SIZE)).astype(np.float32)


def _bank(folder: Path):
    from mfr_kit.training.teacher.bank_table import Table

    return Table(folder, DESCRIBED, (ROWS, 2, SIZE), "float32", BLOCK)


def make_bank(folder: Path) -> None:
    """Write a bank whose last block is recorded beside it."""
    table, wanted = _bank(folder), _rows()
    table.prepare()
    rows = table.open("r+")
    rows[:] = wanted
    rows.flush()
    for start in range(0, ROWS, BLOCK):
        if start + BLOCK >= ROWS:
            table.collect()
        table.record(start, min(start + BLOCK, ROWS), wanted)


def read_bank(folder: Path) -> None:
    """Open a bank, go on with it, and look at what it takes for whole."""
    table = _bank(folder)
    table.spans_open()
    missing = {start for start, _ in table.spans_missing()}
    table.prepare()
    rows, wanted = table.open("r"), _rows()
    assert rows.shape == wanted.shape and rows.dtype == wanted.dtype
    for start, stop in table._spans():
        assert start in missing or np.array_equal(rows[start:stop], wanted[start:stop])
    table.collect()


def make_head_rows(folder: Path) -> None:
    """Write the rows of a head as two ranks do."""
    import torch
    import torch.distributed.checkpoint as dcp

    rows = torch.from_numpy(_rows().reshape(ROWS, -1))
    parts = {"head.0": rows[:BLOCK].clone(), f"head.{BLOCK}": rows[BLOCK:].clone()}
    writer = dcp.FileSystemWriter(folder / "last-00000002", single_file_per_rank=True)
    dcp.save(parts, storage_writer=writer, no_dist=True)


def read_head_rows(folder: Path) -> None:
    """Read them as one rank, and as the second of three."""
    from mfr_kit.training import head_rows

    for start, stop in ((0, ROWS), (3, 6)):
        for rows in head_rows.read(folder / "last-00000002", start, stop).values():
            assert len(rows) == stop - start


def make_claims(folder: Path) -> None:
    """Leave the claims of a process that lives, and of one that is gone."""
    from mfr_kit.claims import CLAIMS, Claims

    claims = Claims(folder / CLAIMS)
    claims.folder.mkdir()
    assert claims.take("run") and claims.take("bank")
    gone = json.loads((claims.folder / "bank").read_text()) | {"pid": 2**22 + 1}
    (claims.folder / "bank").write_text(json.dumps(gone))


def read_claims(folder: Path) -> None:
    """Find them as a new process does, wait for one and clear away the rest."""
    from mfr_kit import claims

    with mock.patch.object(claims, "STALE_S", 0.0), claims.Claims(folder / claims.CLAIMS) as own:
        for name in ("run", "bank"):
            assert "process" in own.holder(name)
            own.take(name)
    claims.clear(folder / claims.CLAIMS)


TEXT = (damage.bytes_of, damage.json_of, damage.json_of)
CAMPAIGNS = {
    "banks": Campaign(
        make_bank,
        read_bank,
        {
            "bank.json": TEXT,
            "embeddings.npy": (damage.bytes_of, damage.npy_of),
            "blocks/*": (damage.bytes_of,),
        },
    ),
    "head rows": Campaign(
        make_head_rows,
        read_head_rows,
        {"*/.metadata": (damage.bytes_of,), "*/*.distcp": (damage.bytes_of,)},
    ),
    "claims": Campaign(make_claims, read_claims, {"claims/*": TEXT}),
}
