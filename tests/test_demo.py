"""The demo's frame: it runs the commands in order, stops loudly, and removes nothing that is not
its own.
"""

import pytest

from mfr_kit.demo import demo
from mfr_kit.errors import KitError


def test_it_stops_loudly_at_the_step_that_fails(tmp_path, capsys):
    ran = []

    def run(command):
        ran.append(command[0])
        return 3 if command[0] == "check" else 0

    with pytest.raises(KitError, match=r"kit\.py check` ended with exit code 3"):
        demo(tmp_path / "demo", 4, run)
    assert ran == ["augment", "distill", "evaluate", "export-onnx", "check"]
    assert "$ python kit.py augment" in capsys.readouterr().out


def test_train_and_held_out_people_are_strangers(tmp_path):
    with pytest.raises(KitError):
        demo(tmp_path / "demo", 4, lambda command: 1)
    train, held = (
        (tmp_path / "demo" / name).read_text().split() for name in ("train.txt", "held_out.txt")
    )
    assert (len(train), len(held), set(train) & set(held)) == (25, 15, set())


def test_an_earlier_demo_is_replaced_and_anything_else_is_left_alone(tmp_path):
    for _ in range(2):
        with pytest.raises(KitError, match="augment"):
            demo(tmp_path / "demo", 4, lambda command: 1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(KitError, match="not an earlier demo"):
        demo(tmp_path / "mine", 4, lambda command: 0)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
