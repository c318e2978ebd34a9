"""Start the training of a package again, from its photographs."""

import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

from mfr_kit.data import lists
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.models import weights
from mfr_kit.models.onnx_models import onnx_file
from mfr_kit.models.preprocess import META_FINGERPRINT
from mfr_kit.submission import rerun
from mfr_kit.submission.rules import ADVISORY, Row

LARGEST = 64 << 20  # bytes of a file of rerun/

# what they write is the rerun's own, and may be left of a call that was killed
_ANEW = ("evaluate", "export-onnx", "make-submission")


def run(package: Path, photos: Path, out: Path) -> list[Row]:
    """Repeat a package's training; call again to go on where it stopped.

    Args:
        package: a zip whose checks were passed.
        photos: folder of the photographs, a folder a person.
        out: folder to work in; it is made.
    Returns:
        What came out beside what was packed: advice, for another machine rounds in another way.
    Raises:
        KitError: the package holds no rerun, the photographs are others, or a command failed.
    """
    photos = Path(photos).resolve()
    if not photos.is_dir():
        raise KitError(f"--rerun {photos}: no such folder of photographs")
    contents = _contents(package)
    where = f"{package}: {rerun.FOLDER}/{rerun.STEPS}"
    name = f"{rerun.FOLDER}/{weights.CONFIG}"
    if f"{rerun.FOLDER}/{rerun.STEPS}" not in contents or name not in contents:
        raise KitError(
            f"{package} holds no {rerun.FOLDER}/{rerun.STEPS}: pack it with --run RUN of distill"
        )
    steps = rerun.read_steps(contents[f"{rerun.FOLDER}/{rerun.STEPS}"], contents[name], where)
    for line in steps.missing:
        print(f"not packed: {line}", file=sys.stderr)
    _lay_out(contents, out)
    (_, _, _, *how), *others = steps.commands()
    _do(["augment", str(photos), rerun.FACES, *how], out)
    _write_lists(steps, out, where)
    for command in others:
        _do(command, out)
    return _compare(steps, package, out)


def _contents(package: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(package) as archive:
        return {
            entry.filename: archive.read(entry)
            for entry in archive.infolist()
            if entry.filename.startswith(f"{rerun.FOLDER}/") and entry.file_size <= LARGEST
        }


def _lay_out(contents: dict[str, bytes], out: Path) -> None:
    names = [weights.CONFIG, *(f"{kind}.txt" for kind in (*rerun.LISTS, "measured"))]
    for name in names:
        data = contents.get(f"{rerun.FOLDER}/{name}")
        if data is not None:
            (out / rerun.FOLDER).mkdir(parents=True, exist_ok=True)
            (out / rerun.FOLDER / name).write_bytes(data)


def _do(command: list[str], out: Path) -> None:
    if _is_done(command[0], out):
        return
    if command[0] == "distill" and (out / rerun.RUN / weights.LAST).is_file():
        command = [*command, "--resume"]
    if command[0] in _ANEW:
        command = [*command, "--force"]
    print(shlex.join(["python", "kit.py", *command]), flush=True)
    kit = str(Path(__file__).resolve().parents[2])  # a checkout is not on the path elsewhere
    path = os.pathsep.join(filter(None, [kit, os.environ.get("PYTHONPATH")]))
    call = [sys.executable, "-m", "mfr_kit", *command]
    done = subprocess.run(call, cwd=out, check=False, env={**os.environ, "PYTHONPATH": path})
    if done.returncode:
        raise KitError(
            f"`kit.py {command[0]}` ended with exit code {done.returncode}; its lines above say "
            "why, and the same command goes on from here"
        )


def _is_done(command: str, out: Path) -> bool:
    made = {
        "augment": f"{rerun.FACES}/faces.parquet",
        "distill": f"{rerun.RUN}/{weights.STUDENT}",
        "evaluate": f"{rerun.REPORT}/report.json",
        "export-onnx": rerun.MODEL,
    }
    return command in made and (out / made[command]).is_file()


def _write_lists(steps: rerun.Steps, out: Path, where: str) -> None:
    faces = FaceSet.open(out / rerun.FACES)
    for kind, group in steps.people.items():
        path = out / rerun.FOLDER / f"{kind}.txt"
        if not path.is_file():
            lists.write_names(path, rerun.names_of(group, faces, f"{where}, people, {kind}"))


def _compare(steps: rerun.Steps, package: Path, out: Path) -> list[Row]:
    faces = FaceSet.open(out / rerun.FACES)
    if "train" in steps.people:
        faces = faces.of_people(lists.read_names(out / rerun.FOLDER / "train.txt"))
    rows = [_row("rerun: faces trained on", steps.fingerprint, faces.clean().fingerprint)]
    with zipfile.ZipFile(package) as archive:
        if rerun.MODEL not in archive.namelist():
            return rows
        (out / "packed.onnx").write_bytes(archive.read(rerun.MODEL))
    packed, again = (_weights(out / name) for name in ("packed.onnx", rerun.MODEL))
    return [*rows, _row("rerun: weights", packed, again)]


def _weights(path: Path) -> str:
    stored = {item.key: item.value for item in onnx_file.load(path).metadata_props}
    return stored.get(META_FINGERPRINT, "unknown")


def _row(rule: str, wanted: str, found: str) -> Row:
    equal = wanted == found
    note = "" if equal else "another machine, or another version of a library, rounds otherwise"
    said = "equal" if equal else f"other: {found[:12]}"
    return Row(rule, f"as packed: {wanted[:12]}", said, "", ADVISORY, note)
