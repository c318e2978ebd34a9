"""Every option of every command says all of itself where it is declared, and nowhere else."""

import dataclasses
import importlib
from pathlib import Path

import pytest

from mfr_kit import options as flags
from mfr_kit import ranges
from mfr_kit.errors import KitError
from mfr_kit.training.options import distill_options

ROOT = Path(__file__).resolve().parent.parent / "mfr_kit"
MANY = 15  # options that a help page can show as one list


def options_classes() -> list[type]:
    """All classes of options: what a file that uses `options_class` defines."""
    found = [distill_options()]
    for path in sorted(ROOT.rglob("*.py")):
        if "\n@options_class" not in path.read_text(encoding="utf-8"):
            continue
        name = ".".join(["mfr_kit", *path.relative_to(ROOT).with_suffix("").parts])
        module = importlib.import_module(name)
        found += [
            value
            for value in vars(module).values()
            if dataclasses.is_dataclass(value)
            and value.__module__ == name
            and all("affects" in entry.metadata for entry in dataclasses.fields(value))
        ]
    return found


@pytest.mark.parametrize(
    "cls", options_classes(), ids=lambda cls: f"{cls.__module__}.{cls.__name__}"
)
def test_an_option_says_all_of_itself(cls):
    entries = dataclasses.fields(cls)
    for entry in entries:
        said = entry.metadata
        assert said["help"].rstrip().endswith((".", ")")), f"{entry.name}: help is no sentence"
        assert said["affects"] in flags.AFFECTS
        assert said["section"] or len(entries) <= MANY, f"{entry.name} has no section"
        assert not said["writes"] or said["affects"] == "place", entry.name
        if {"int", "float"} & set(str(entry.type).replace("'", " ").replace("[", " ").split()):
            assert said["within"], f"{entry.name} is a number without a range"


def test_a_number_out_of_its_range_is_refused_wherever_the_options_come_from(tmp_path):
    @flags.options_class
    class Options:
        share: float = flags.option(0.5, help="A share.", within="0..<1")
        rates: list[float] | None = flags.option(None, help="Rates.", within=">0..<1")
        parts: int = flags.option(1, help="Parts.", within=">=1")

        def __post_init__(self):
            if self.parts == 13:
                raise KitError("thirteen")

    message = r"--share must be 0 or more and below 1, not 1\.0"
    config = tmp_path / "c.toml"
    config.write_text("share = 1\n")
    for made in (
        lambda: Options(share=1.0),
        lambda: flags.load(Options, config, {}),
        lambda: flags.from_table(Options, {"share": 1.0}, "a table"),
    ):
        with pytest.raises(KitError, match=message):
            made()
    with pytest.raises(KitError, match="--rates must be between 0 and 1, both excluded, not 1"):
        Options(rates=[0.1, 1])
    with pytest.raises(KitError, match="--parts must be 1 or more, not 0"):
        Options(parts=0)
    with pytest.raises(KitError, match="thirteen"):
        Options(parts=13)
    for odd in (float("nan"), float("inf")):
        with pytest.raises(KitError, match="--share must be a finite number"):
            Options(share=odd)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">0", [1e-9, 5], [0, -1]),
        (">=1", [1, 2], [0, 0.5]),
        ("-1..1", [-1, 0, 1], [-1.1, 1.1]),
        ("0..<1", [0, 0.9], [1, -0.1]),
        (">0..1", [0.1, 1], [0, 1.1]),
    ],
)
def test_a_range_holds_its_numbers(text, inside, outside):
    found = ranges.parse(text)
    assert all(map(found.holds, inside)) and not any(map(found.holds, outside))


@pytest.mark.parametrize("text", ["", "0-1", ">", "1..", "[0, 1]"])
def test_a_range_in_another_form_is_no_range(text):
    with pytest.raises(ValueError, match="is no range"):
        ranges.parse(text)
