"""Read a table of settings: one TOML says what is trained, with which seeds, and on what it is
measured.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfr_kit.errors import KitError
from mfr_kit.option_names import under_current_names
from mfr_kit.options import load, read_toml, typed
from mfr_kit.records import check
from mfr_kit.registry import unknown
from mfr_kit.training.options import RunOptions, distill_options

TOP = {"title", "config", "seeds", "teacher", "against", "resamples", "common", "sets", "setting"}
SET = {"name", "data", "people", "fars", "protocols", "flip"}
DERIVED = {"name", "of", "weight_share", "average"}
OWN = ("out", "bank", "seed")  # the table's own business, not a setting's
ADVICE = "docs/guides/ablations.md shows a table"
SETTING_SHAPE = {
    "name": str,
    "seeds?": [int],
    "of?": str,
    "weight_share?": float,
    "average?": bool,
}
SET_SHAPE = {"name": str, "data": str, "people?": str, "fars": [float], "protocols?": [str]}
SHAPE = {
    "title": str,
    "config?": str,
    "seeds?": [int],
    "teacher?": str,
    "against?": (str, [str]),
    "resamples?": int,
    "common?": dict,
    "sets": [SET_SHAPE | {"flip?": bool}],
    "setting": [SETTING_SHAPE],
}


@dataclass(frozen=True)
class Measured:
    """A face set that finished students are measured on; `flip` adds the embedding of the
    mirrored face.
    """

    name: str
    data: Path
    people: Path | None
    fars: tuple[float, ...]
    protocols: tuple[str, ...] | None
    flip: bool = False


@dataclass(frozen=True)
class Setting:
    """One row: options of `kit.py distill`, or (where `of` names another row) weights made from
    that row's runs without training.

    `seeds` are its own where the table's are not; rows made of another row have that row's.
    `weight_share` is how far such weights go from the initial ones to the trained ones; `average`
    takes the mean over the seeds first.
    """

    name: str
    changes: dict[str, Any]
    seeds: tuple[int, ...] | None = None
    of: str | None = None
    weight_share: float = 1.0
    average: bool = False


@dataclass(frozen=True)
class Table:
    """Everything a TOML says; `against` are the rows that the others are compared with beside the
    teacher, over people and seeds.
    """

    path: Path
    title: str
    config: Path | None
    seeds: tuple[int, ...]
    teacher: str
    resamples: int
    common: dict[str, Any]
    sets: tuple[Measured, ...]
    settings: tuple[Setting, ...]
    against: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path.stem

    def setting(self, name: str) -> Setting:
        """Find a row by its name."""
        return next(setting for setting in self.settings if setting.name == name)

    def source(self, setting: Setting) -> Setting:
        """Find the row whose runs a row's weights are made of: itself, or the one of its `of`."""
        return setting if setting.of is None else self.setting(setting.of)

    def seeds_of(self, setting: Setting) -> tuple[int, ...]:
        """List the seeds that a row is trained with."""
        return self.source(setting).seeds or self.seeds

    def options(self, setting: Setting, **own: Any) -> RunOptions:
        """Compose a training run's options: the config, over it [common], over it the setting, over
        it the table's own.

        Raises:
            KitError: an option that `kit.py distill` does not have, or a wrong value; names table
                and setting.
        """
        where = f"{self.path}: setting '{setting.name}'"
        given = typed(distill_options(), {**self.common, **setting.changes}, where)
        flags = {**given, "teacher": self.teacher, **own}
        known = distill_options().__dataclass_fields__
        for key in flags:
            if key not in known:
                raise KitError(
                    f"{self.path}: setting '{setting.name}': "
                    f"{unknown('option', key, sorted(known))}"
                )
        paths = ["data", "mask_folder", "mask_mix", "drift_table"]
        paths += ["train_people", "val_people", "out", "bank"]
        flags.update({key: Path(flags[key]) for key in paths if flags.get(key) is not None})
        if flags.get("holdout_people"):
            flags["holdout_people"] = [Path(item) for item in flags["holdout_people"]]
        try:
            return load(distill_options(), self.config, flags)
        except KitError as error:
            raise KitError(f"{self.path}: setting '{setting.name}': {error}") from None


def read(path: Path) -> Table:
    """Read a table; `$NAME` in its texts is replaced from the environment.

    Raises:
        KitError: unreadable, an unknown or missing key, a variable that is not set, a name used
            twice, or an `of` that is no trained row.
    """
    raw = read_toml(path, "the table")
    _known(raw, TOP, f"{path}")
    for key in ("title", "sets", "setting"):
        if not raw.get(key):
            raise KitError(f"{path}: '{key}' is missing (docs/guides/ablations.md shows a table)")
    raw = check(_under_current_names(_expanded(raw, path), path), SHAPE, str(path), ADVICE)
    _refuse_values(raw, path)
    settings = tuple(_setting(entry, path) for entry in raw["setting"])
    names = [setting.name for setting in settings]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise KitError(f"{path}: two settings are called '{twice}'")
    trained = [setting.name for setting in settings if setting.of is None]
    for setting in settings:
        if setting.of is not None and setting.of not in trained:
            raise KitError(
                f"{path}: setting '{setting.name}': "
                f"{unknown('trained setting', setting.of, trained)}"
            )
    against = rows_of(raw.get("against", []))
    for name in against:
        if name not in names:
            raise KitError(f"{path}: against: {unknown('setting', name, names)}")
    return Table(
        path=Path(path),
        title=raw["title"],
        config=Path(raw["config"]) if "config" in raw else None,
        seeds=tuple(raw.get("seeds", [0])),
        teacher=_teacher(raw),
        resamples=raw.get("resamples", 200),
        common=_plain_options(raw.get("common", {}), f"{path}: [common]"),
        sets=tuple(_set(entry, path) for entry in raw["sets"]),
        settings=settings,
        against=against,
    )


def rows_of(against: str | list[str]) -> tuple[str, ...]:
    """Return the rows that a table's, or a record's, `against` names: one, or several."""
    return (against,) if isinstance(against, str) else tuple(against)


def _under_current_names(raw: dict, path: Path) -> dict:
    """Put the settings' options under the names they have; what is no setting is left to the check
    of shapes.
    """
    if not isinstance(raw["setting"], list):
        return raw
    settings = [
        under_current_names(distill_options(), entry, f"{path}: setting[{number}]")
        if isinstance(entry, dict)
        else entry
        for number, entry in enumerate(raw["setting"])
    ]
    return {**raw, "setting": settings}


def _refuse_values(raw: dict, path: Path) -> None:
    """Refuse numbers out of their range, and names that cannot be told apart."""
    seeds, resamples = raw.get("seeds", [0]), raw.get("resamples", 200)
    several = [seeds, *(entry["seeds"] for entry in raw["setting"] if "seeds" in entry)]
    if not all(map(_are_seeds, several)) or resamples < 0:
        raise KitError(f"{path}: 'seeds' and 'resamples' are different numbers from 0 on; {ADVICE}")
    for entry in raw["sets"]:
        if not entry["fars"] or not all(0 < far <= 1 for far in entry["fars"]):
            raise KitError(f"{path}: set '{entry['name']}': 'fars' are numbers above 0 to 1")
    for entry in raw["setting"]:
        if not 0 <= entry.get("weight_share", 1.0) <= 1:
            raise KitError(
                f"{path}: setting '{entry['name']}': 'weight_share' is a number from 0 to 1"
            )
    for what, many in (("sets", "sets"), ("setting", "settings")):
        names = [entry["name"] for entry in raw[what]]
        twice = next((name for name in names if names.count(name) > 1 or not name), None)
        if twice is not None:
            raise KitError(f"{path}: two {many} are called '{twice}'")


def _are_seeds(values: list[int]) -> bool:
    return bool(values) and len(set(values)) == len(values) and min(values) >= 0


def _known(raw: dict, keys: set[str], where: str) -> None:
    for key in raw:
        if key not in keys:
            raise KitError(f"{where}: {unknown('key', key, sorted(keys))}")


def _expanded(value: Any, path: Path) -> Any:
    if isinstance(value, dict):
        return {key: _expanded(item, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_expanded(item, path) for item in value]
    if not isinstance(value, str):
        return value
    text = os.path.expandvars(value)
    if "$" in text:
        raise KitError(f"{path}: '{value}' names an environment variable that is not set")
    return text


def _set(entry: dict, path: Path) -> Measured:
    _known(entry, SET, f"{path}: [[sets]]")
    if not {"name", "data", "fars"} <= set(entry):
        raise KitError(f"{path}: every [[sets]] needs name, data and fars")
    protocols = tuple(entry["protocols"]) if "protocols" in entry else None
    people = Path(entry["people"]) if "people" in entry else None
    return Measured(
        entry["name"],
        Path(entry["data"]),
        people,
        tuple(map(float, entry["fars"])),
        protocols,
        bool(entry.get("flip", False)),
    )


def _setting(entry: dict, path: Path) -> Setting:
    if "name" not in entry:
        raise KitError(f"{path}: every [[setting]] needs a name")
    where = f"{path}: setting '{entry['name']}'"
    if "of" not in entry:
        given = {key: value for key, value in entry.items() if key not in ("name", "seeds")}
        seeds = tuple(entry["seeds"]) if "seeds" in entry else None
        return Setting(entry["name"], _plain_options(given, where), seeds)
    _known(entry, DERIVED, where)
    return Setting(
        entry["name"],
        {},
        of=entry["of"],
        weight_share=float(entry.get("weight_share", 1.0)),
        average=bool(entry.get("average", False)),
    )


def _plain_options(values: dict, where: str) -> dict[str, Any]:
    values = under_current_names(distill_options(), values, where)
    for key in OWN:
        if key in values:
            raise KitError(f"{where}: '{key}' is set by `kit.py ablate` itself")
    if "teacher" in values:
        raise KitError(f"{where}: 'teacher' is the same for all rows: name it beside 'title'")
    return values


def _teacher(raw: dict) -> str:
    """The table's own, or else the config's; what is no text there is refused with its options."""
    named = raw.get("teacher")
    if named is None and "config" in raw:
        named = read_toml(Path(raw["config"]), "the config").get("teacher")
    return named if isinstance(named, str) else "sface"
