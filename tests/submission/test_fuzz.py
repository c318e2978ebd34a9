"""A short, seeded form of the two fuzzers; `python tests/fuzz_onnx.py` and `python
tests/fuzz_zip.py` run thousands.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(("script", "count"), [("fuzz_onnx.py", 80), ("fuzz_zip.py", 150)])
def test_mutated_files_are_read_or_refused(tmp_path, script, count):
    """In a process of its own: it forks, which a process that has run torch should not."""
    call = [sys.executable, str(TESTS / script), str(count), "7", str(tmp_path / "kept")]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    totals = {
        kind: int(number) for number, kind in re.findall(r"(\d+) (read|refused)", done.stdout)
    }
    assert totals["read"] >= count // 20 and totals["refused"] >= count // 20
