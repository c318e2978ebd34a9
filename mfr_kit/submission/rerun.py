"""What a package holds for those who repeat the training: options of every step from photographs
on, the lists of people, and the commands; nothing in them is left to be filled in.

`rerun/steps.json` says what is done, `rerun/COMMANDS.txt` writes it as commands, and
`rerun/config.toml` holds the options of the training without places on this machine. Lists of
people are names, or salted digests (models/trained_people.py), which whoever has the photographs
can turn into names.
"""

import dataclasses
import json
import re
import shlex
from pathlib import Path
from typing import Any

from mfr_kit.data import lists
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.face_set.faceset_files import read_about
from mfr_kit.errors import KitError
from mfr_kit.models import trained_people, weights
from mfr_kit.models.spec import ADAPTED
from mfr_kit.options import typed
from mfr_kit.records import check, parse_json, parse_toml
from mfr_kit.submission import tracks
from mfr_kit.training.options import distill_options
from mfr_kit.training.people import VALIDATED

FOLDER, STEPS, COMMANDS = "rerun", "steps.json", "COMMANDS.txt"
SCHEMA = "mfr-kit/rerun/1"
FORMS = ("salted", "plain", "none")
PHOTOS, FACES, RUN, MODEL, REPORT = "photos", "faces", "run", "model.onnx", "report"
AUGMENT: dict[str, Any] = {  # options of augment that decide what its face set holds
    **dict.fromkeys(("aligned", "detect", "upright"), (bool, None)),
    **dict.fromkeys(("alignment", "detector", "faces", "format", "image", "mask_on"), (str, None)),
    **dict.fromkeys(("ratio", "seed", "level", "detect_batch", "shards"), (float, None)),
    "masks": ([str], None),
}
LISTS = {"train": "--train-people", "val": "--val-people"}  # flags of distill


@dataclasses.dataclass(frozen=True)
class Steps:
    """What is done again.

    Attributes:
        augment: options by name that are not the defaults; None where the face set did not come
            from photographs, or is not there any more.
        fingerprint: of the clean faces that were trained on.
        people: of each list its group (`trained_people`), with names or digests.
        fars: of the evaluation, [] for its defaults; None without one.
        track: of the package.
        package: its file's name.
        missing: what of it could not be packed, a line each.
    """

    augment: dict[str, Any] | None
    fingerprint: str
    people: dict[str, dict]
    fars: list[float] | None
    track: str
    package: str
    missing: list[str]

    def commands(self) -> list[list[str]]:
        """Give the arguments of each command of the kit, in order; paths are relative to the folder
        they are run in, where `rerun/` lies too.
        """
        made = [["augment", PHOTOS, FACES, *flags_of(self.augment or {})]]
        given = [
            part
            for name, flag in LISTS.items()
            if name in self.people
            for part in (flag, f"{FOLDER}/{name}.txt")
        ]
        config = ["--config", f"{FOLDER}/{weights.CONFIG}"]
        made.append(["distill", *config, "--data", FACES, *given, "--out", RUN])
        report = []
        if self.fars is not None:
            whom = ["--people", f"{FOLDER}/measured.txt"] if "measured" in self.people else []
            whom += [f"--far={far:g}" for far in self.fars]
            made.append(["evaluate", RUN, "--data", FACES, *whom, "--out", REPORT])
            report = ["--report", f"{REPORT}/report.json"]
        made.append(["export-onnx", RUN, "--out", MODEL, *report])
        made.append(["check", MODEL, "--track", self.track, "--run", RUN])
        pack = ["make-submission", MODEL, "--track", self.track, "--run", RUN, *report]
        return [*made, [*pack, "--out", self.package]]


def pack(
    run: Path | None, track: str, name: str, form: str, report: dict | None
) -> tuple[dict[str, Path | bytes], list[str]]:
    """Collect what the organisers need to repeat a training.

    Args:
        run: folder of the run, or a weights file in it; None for nothing.
        track: it is packed for.
        name: of the package.
        form: of the lists of people, one of `FORMS`.
        report: of the evaluation that is packed, or None.
    Returns:
        Contents by their names in the package, and a line on each thing that is missing.
    """
    if run is None:
        return {}, []
    folder = run if run.is_dir() else run.parent
    found: dict[str, Path | bytes] = {
        f"{FOLDER}/{file}": folder / file
        for file in (weights.LINEAGE, weights.METRICS)
        if (folder / file).is_file()
    }
    if (folder / ADAPTED).is_file():
        return found, [f"{FOLDER}/ holds no commands: {folder} is a run of adapt, not of distill"]
    config = weights.read_config(folder)
    steps = _steps(folder, config, track, name, form, report)
    found[f"{FOLDER}/{weights.CONFIG}"] = weights.to_toml(_without_places(config)).encode()
    found[f"{FOLDER}/{STEPS}"] = to_json(steps).encode()
    found[f"{FOLDER}/{COMMANDS}"] = _text(steps, name).encode("utf-8", "backslashreplace")
    for kind, group in steps.people.items():
        if "names" in group:
            text = "".join(f"{person}\n" for person in group["names"])
            found[f"{FOLDER}/{kind}.txt"] = text.encode("utf-8", "surrogateescape")
    return found, steps.missing


def to_json(steps: Steps) -> str:
    """Write steps; the same for the same."""
    about = {"schema": SCHEMA, **dataclasses.asdict(steps)}
    about["people"] = {
        kind: {key: value for key, value in group.items() if key != "names"}
        for kind, group in steps.people.items()
    }
    return json.dumps(about, indent=1, sort_keys=True) + "\n"


def flags_of(values: dict[str, Any]) -> list[str]:
    """Write the options of `augment` as the command line takes them, every one of them: a default
    may be another in a later kit.
    """
    given = []
    for name in AUGMENT:
        value, flag = values.get(name), name.replace("_", "-")
        if isinstance(value, bool):
            given.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            # with "=", so that no value is taken for a flag
            given += [f"--{flag}={part}" for part in (value if type(value) is list else [value])]
    return given


def _steps(
    folder: Path, config: dict, track: str, name: str, form: str, report: dict | None
) -> Steps:
    missing: list[str] = []
    lineage = weights.read_lineage(folder)
    sets = lineage.get("training_sets") or [{"fingerprint": ""}]
    people, measured = _people(folder, report, form, sets[0]["fingerprint"], missing)
    for place in ("mask_folder", "mask_mix"):
        if config.get(place):
            missing.append(f"masks of {place.replace('_', '-')} are your own: they are not packed")
    for model in ("teacher", "init"):
        if isinstance(config.get(model), str) and Path(config[model]).exists():
            missing.append(f"--{model} {config[model]} is a file of yours: it is not packed")
    fars = None
    if report is not None:
        fars = report.get("options", {}).get("far") or []
        people |= measured
    return Steps(
        augment=_augment(config.get("data"), missing),
        fingerprint=sets[0]["fingerprint"],
        people=people,
        fars=fars,
        track=track,
        package=name,
        missing=missing,
    )


def _augment(data: Any, missing: list[str]) -> dict[str, Any] | None:
    if isinstance(data, str) and Path(data).is_dir():
        about = read_about(Path(data))
        if set(AUGMENT) <= set(about.get("options") or {}):
            if about["options"].get("detector_model"):
                missing.append("--detector-model is a file of yours: it is not packed")
            if about.get("ratio_people"):
                missing.append("--ratio-people names lists of yours: they are not packed")
            return {key: about["options"].get(key) for key in AUGMENT}
        missing.append(f"{data} was not made of photographs by augment: its first step is unknown")
        return None
    missing.append(f"the face set {data} is not there: how it was made is unknown")
    return None


def _people(
    folder: Path, report: dict | None, form: str, fingerprint: str, missing: list[str]
) -> tuple[dict[str, dict], dict[str, dict]]:
    """The lists of a run, and the people of its evaluation."""
    if form == "none":
        missing.append("the lists of people are left out: training takes all of the photographs")
        return {}, {}
    known = {
        kind: lists.read_names(folder / file)
        for kind, file in (("train", trained_people.TRAINED), ("val", VALIDATED))
        if (folder / file).is_file()
    }
    if "train" not in known:
        missing.append(f"{folder / trained_people.TRAINED} is not there: who was trained on?")
    measured = {}
    given = (report or {}).get("options", {}).get("people")
    if isinstance(given, str):
        if Path(given).is_file():
            measured["measured"] = lists.read_names(Path(given))
        else:
            missing.append(f"the list of people measured, {given}, is not there")
    return _grouped(known, form, fingerprint), _grouped(measured, form, fingerprint)


def _grouped(names: dict[str, list[str]], form: str, fingerprint: str) -> dict[str, dict]:
    groups = {}
    for kind, some in names.items():
        group = {"model": kind, "people": len(set(some)), "names": sorted(set(some))}
        salt = fingerprint if _is_hex(fingerprint) else ""
        groups[kind] = group if form == "plain" else trained_people.digested([group], salt)[0]
    return groups


def _is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and all(letter in "0123456789abcdef" for letter in text)


def _without_places(config: dict) -> dict:
    """Leave out where files lie and how the machine works; keys that the kit does not know too."""
    fields = {field.name: field for field in dataclasses.fields(distill_options())}
    return {
        name: value
        for name, value in config.items()
        if name in fields and fields[name].metadata["affects"] == "result"
    }


def _text(steps: Steps, name: str) -> str:
    lines = [
        f"# From the folder of photographs {PHOTOS}, in a folder of its own, all of it at once:",
        f"python kit.py verify {shlex.quote(name)} --rerun {PHOTOS}",
        "",
        "# which makes the lists of people and does this:",
    ]
    if steps.augment is None:
        lines.append("# (how the face set was made is not known: augment with its defaults)")
    lines += [shlex.join(["python", "kit.py", *command]) for command in steps.commands()]
    lines += [f"# not packed: {line}" for line in steps.missing]
    return "\n".join(lines) + "\n"


def read_steps(data: bytes, config: bytes, where: str) -> Steps:
    """Read what `pack` wrote, from a stranger: nothing in it is run but commands of the kit with
    options that they know.

    Raises:
        KitError: damaged, or an option that there is not.
    """
    advice = "pack it again with `kit.py make-submission`"
    shape: dict[str, Any] = {
        "schema": frozenset({SCHEMA}),
        "augment": ({f"{name}?": kind for name, kind in AUGMENT.items()}, None),
        "fingerprint": str,
        "people": {...: dict},
        "fars": ([float], None),
        "track": str,
        "package": str,
        "missing": [str],
    }
    found = check(parse_json(data, where, advice), shape, where, advice)
    typed(distill_options(), parse_toml(config.decode("utf-8", "replace"), where, advice), where)
    name = Path(found["package"])
    known = found["track"] in tracks.names()
    if not known or name.name != found["package"] or not re.match(r"\w.*\.zip$", name.name):
        raise KitError(f"{where}: no track, or 'package' is no name of a zip; {advice}")
    steps = Steps(**{key: value for key, value in found.items() if key != "schema"})
    if not set(steps.people) <= {*LISTS, "measured"}:
        raise KitError(f"{where}: 'people' has a list that no command takes; {advice}")
    return steps


def names_of(group: dict, faces: FaceSet, where: str) -> list[str]:
    """Find who of a face set is on a salted list.

    Raises:
        KitError: damaged; or somebody of the list has no photograph there.
    """
    (group,) = trained_people.parse_groups(json.dumps([group]), where)
    found = trained_people.among([group], faces.people)
    if len(found) < group["people"]:
        raise KitError(
            f"{len(found):,} of the {group['people']:,} people of {where} are among the "
            f"photographs: give the same photographs, a folder a person with the same names"
        )
    return found
