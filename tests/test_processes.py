"""What is asked about processes."""

import subprocess
import sys

import pytest

from mfr_kit.processes import peak_mib


@pytest.mark.skipif(sys.platform != "linux", reason="others keep no such count of a child")
def test_a_childs_peak_is_its_own():
    mine = bytearray(300 << 20)
    mine[::4096] = b"x" * len(mine[::4096])
    code = "import sys; a = bytearray({} << 20); print(len(a), flush=True); sys.stdin.read()"
    for mib in (1, 200):
        call = [sys.executable, "-S", "-c", code.format(mib)]
        pipe = subprocess.PIPE
        with subprocess.Popen(call, stdin=pipe, stdout=pipe) as child:
            child.stdout.readline()
            assert mib < peak_mib(child.pid) < mib + 40 < 300 < peak_mib()
            child.communicate()
        assert peak_mib(child.pid) is None
