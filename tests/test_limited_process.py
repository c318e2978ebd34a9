import os
import signal
import subprocess
import sys
import time

import pytest

from mfr_kit import limited_process
from mfr_kit.errors import KitError

LONG = 600  # seconds: no test waits for it


def call(name, limit_s=LONG, limit_mib=1024, **given):
    return limited_process.call(f"{__name__}:{name}", given, "m.onnx", limit_s, limit_mib)


def double(number):
    print("this is no answer")
    return [number * 2, "\ud800"]


def refuse():
    raise KitError("it is odd")


def hang():
    while True:
        time.sleep(1)


def take(size_bytes):
    return len(bytearray(size_bytes))


def die():
    os.kill(os.getpid(), signal.SIGSEGV)


def leave_child():
    return subprocess.Popen(["sleep", str(LONG)]).pid


def lie():
    os.write(int(sys.argv[1]), b"[1, ")
    os._exit(0)


def scratch():
    import tempfile

    return tempfile.mkdtemp()


def test_the_answer_comes_back():
    assert call("double", number=21) == [42, "\ud800"]


def test_what_the_user_can_mend_comes_back_too():
    with pytest.raises(KitError, match=r"^it is odd$"):
        call("refuse")


def test_it_is_ended_when_its_time_is_over():
    with pytest.raises(KitError, match=r"m\.onnx took more than 1 s and was stopped; --limit-s"):
        call("hang", limit_s=1)


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA is Linux's")
def test_it_may_not_take_more_memory():
    assert call("take", limit_mib=256, size_bytes=64 << 20) == 64 << 20
    with pytest.raises(KitError, match=r"m\.onnx needs more memory than --limit-mib 256"):
        call("take", limit_mib=256, size_bytes=512 << 20)


@pytest.mark.parametrize(("name", "how"), [("die", "SIGSEGV"), ("lie", "exit code 0")])
def test_its_death_is_one_line(name, how):
    with pytest.raises(KitError, match=rf"m\.onnx ended the process .*\({how}\).*--limit-mib"):
        call(name)


def test_what_it_started_and_wrote_goes_with_it():
    child = call("leave_child")
    for _ in range(LONG):
        if not is_running(child):
            break
        time.sleep(0.1)
    assert not is_running(child)
    assert not os.path.exists(call("scratch"))


def is_running(number):
    try:
        with open(f"/proc/{number}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] not in b"ZX"
    except FileNotFoundError:
        return False
