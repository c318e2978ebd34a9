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
# at first a block may not fit where the last one lay, by what its alignment takes
print(int(kept), *[faults() for _ in range(40)])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_a_large_block_is_used_again_without_new_pages():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True
    )
    kept, *faults = map(int, done.stdout.split())
    assert not kept or sum(faults[20:]) < 1000, faults  # 64 MB are 15,625 pages
