"""Ctrl-C while photographs are looked at: no worker complains, and the same command goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mfr_kit import assets
from mfr_kit.data.face_set.faceset import FaceSet

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="process groups as POSIX has them")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_same_command_goes_on(tmp_path, number):
    photos, out = tmp_path / "photos", tmp_path / "set"
    for person in range(1, 21):
        shutil.copytree(assets.path("orl-faces") / f"s{person}", photos / f"s{person}")
    command = [sys.executable, str(ROOT / "kit.py"), "augment", str(photos), str(out)]
    command += ["--ratio", "1", "--workers", "2", "--shards", "8"]
    run = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while not out.with_name("set.part").exists() and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(run.pid, number)  # as a terminal and a scheduler do
    _, told = run.communicate(timeout=120)
    assert run.returncode == 130, told
    assert "Traceback" not in told
    assert "To go on: `python kit.py augment" in told
    assert not out.exists()
    subprocess.run(command, check=True, capture_output=True)
    assert FaceSet.open(out).identity_count == 20
