import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import resource, torch
from mfr_kit.models import memory
kept = memory.keep_freed()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16_000_000).sum()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(int(kept), min(faults() for _ in range(6)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_a_large_block_is_used_again_without_new_pages():
    # a tracer's small blocks would lie between the heap's end and the large one
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    found = []
    for _ in range(3):  # now and then a library lies where the heap would grow, and glibc maps
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        kept, again = map(int, done.stdout.split())
        found.append(again)
        if not kept or again < 1000:  # 64 MB are 15,625 pages
            return
    pytest.fail(f"pages that the same block cost again: {found}")
