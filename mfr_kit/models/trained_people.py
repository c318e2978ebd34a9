"""Whom a model was trained on: names beside a run, digests in an ONNX file; and who of them is
among the people measured.

A run folder holds `train_people.txt` (the names that were trained on, a list as `data/lists.py`
writes it) and, where its teacher or its initial weights are models of the kit,
`ancestor_people.json`: their people as digests. An ONNX file holds all of these as digests, never
as names, in its metadata under `mfr_kit.people`: JSON, a list of groups, each

    {"model", "people": how many, "salt": hex, "digests": base64}
        8 bytes a person, sorted: BLAKE2b of the name in NFC
    {"model", "people", "salt", "bloom": base64, "hashes", "false_positives"}  past 64 KiB: a Bloom
    filter

`model` is "" for the model's own people, else the name of the ancestor that was trained on them.
The salt comes from the weights' fingerprint. Digests keep names from being read, not from being
tried: whoever has a list of names can ask which of them are among the people, which is what
`evaluate` does.
"""

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mfr_kit.data.lists import nfc, read_names, write_names
from mfr_kit.errors import KitError
from mfr_kit.files import write_json
from mfr_kit.models.spec import ASSET_NORMALISATION, parse_specs

TRAINED, ANCESTORS = "train_people.txt", "ancestor_people.json"
META_PEOPLE = "mfr_kit.people"
MOST_BYTES = 1 << 16  # of a group's digests as text
# of a Bloom filter: bits a person; (1 - exp(-17 / 24)) ** 17 = 1e-5
BITS, HASHES, FALSE_POSITIVES = 24, 17, 1e-5
Group = dict  # as above; of a run's own people {"model", "people", "names": [...]}


def store(folder: Path, names: Iterable[str], ancestors: list[Group]) -> None:
    """Write beside a run whom it is trained on, and whom its teacher and its initial weights were.

    Args:
        folder: of the run.
        names: of the people.
        ancestors: from `groups_of` or `digested`; without names.
    """
    names = sorted(set(names))
    if names:
        write_names(folder / TRAINED, names)
    (folder / ANCESTORS).unlink(missing_ok=True)
    if ancestors:
        write_json(folder / ANCESTORS, ancestors)


def groups_of(spec: str | Path) -> list[Group]:
    """Read whom a model was trained on, itself and what it descends from.

    Args:
        spec: as `embedders.load_embedder` takes it: a run folder, a weights file inside one, an
            ONNX file, several of these with commas.
    Returns:
        Groups of people; empty where the model does not say.
    Raises:
        KitError: what it says is damaged.
    """
    members = parse_specs(spec)
    if len(members) > 1:
        return _unique(group for member in members for group in groups_of(member.place))
    place = members[0].place
    path = Path(place)
    if place in ASSET_NORMALISATION:
        return []
    if path.suffix.lower() == ".onnx" and path.is_file():
        return _of_onnx(path)
    if path.is_dir():
        return groups_of_run(path)
    return groups_of_run(path.parent) if path.is_file() else []


def groups_of_run(folder: Path) -> list[Group]:
    """Read the people of a run folder: its own by name, those of its ancestors as digests.

    Raises:
        KitError: a file of them is damaged.
    """
    groups = []
    if (folder / TRAINED).is_file():
        names = read_names(folder / TRAINED, "the training people")
        groups.append({"model": "", "people": len(names), "names": names})
    if (folder / ANCESTORS).is_file():
        try:
            text = (folder / ANCESTORS).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise KitError(f"cannot read {folder / ANCESTORS}: {error}") from None
        groups += parse_groups(text, str(folder / ANCESTORS))
    return groups


def as_ancestors(groups: list[Group], name: str) -> list[Group]:
    """Give the people of a model its name, as a model that descends from it stores them."""
    return [{**group, "model": group["model"] or name} for group in groups]


def unite(runs: list[Path], folder: Path) -> None:
    """Write beside an average of runs whom any of them was trained on; nothing where none of
    them says.
    """
    groups = _unique(group for run in runs for group in groups_of_run(run))
    names = {name for group in groups for name in group.get("names", ())}
    if groups:
        store(folder, names, [group for group in groups if "names" not in group])


def digested(groups: list[Group], fingerprint: str) -> list[Group]:
    """Turn names into digests, salted with a model's fingerprint (hex); groups of digests stay as
    they are.

    Returns:
        Groups without a name; equal for equal input, so that an export has the same bytes every
        time.
    """
    salt = bytes.fromhex(fingerprint)[:16]
    return _unique(
        _digest_group(group["model"], group["names"], salt) if "names" in group else group
        for group in groups
    )


def to_metadata(groups: list[Group]) -> dict[str, str]:
    """The entry of an ONNX file's metadata for groups without names; none where there are no
    groups.
    """
    return {META_PEOPLE: json.dumps(groups, sort_keys=True)} if groups else {}


def among(groups: list[Group], names: Iterable[str]) -> list[str]:
    """List who of some people is in the groups, sorted; of a Bloom filter a few may be there by
    chance.
    """
    by_form = {nfc(name): name for name in names}
    found: set[str] = set()
    for group in groups:
        found.update(_members(group, list(by_form)))
    return sorted(by_form[form] for form in found)


def is_exact(groups: list[Group]) -> bool:
    """Whether `among` errs for nobody: no group is a Bloom filter."""
    return not any("bloom" in group for group in groups)


def _digest_group(model: str, names: list[str], salt: bytes) -> Group:
    names = sorted({nfc(name) for name in names})
    about = {"model": model, "people": len(names), "salt": salt.hex()}
    digests = b"".join(sorted(_digest(name, salt, 8) for name in names))
    text = base64.b64encode(digests).decode()
    if len(text) <= MOST_BYTES:
        return {**about, "digests": text}
    bits = np.zeros(8 * math.ceil(len(names) * BITS / 8), bool)
    bits[_places(names, salt, len(bits), HASHES)] = True
    packed = base64.b64encode(np.packbits(bits).tobytes()).decode()
    return {**about, "bloom": packed, "hashes": HASHES, "false_positives": FALSE_POSITIVES}


def _members(group: Group, names: list[str]) -> set[str]:
    if "names" in group:
        return {nfc(name) for name in group["names"]} & set(names)
    salt = bytes.fromhex(group["salt"])
    if "digests" in group:
        raw = base64.b64decode(group["digests"])
        known = {raw[start : start + 8] for start in range(0, len(raw), 8)}
        return {name for name in names if _digest(name, salt, 8) in known}
    if not names:
        return set()
    bits = np.unpackbits(np.frombuffer(base64.b64decode(group["bloom"]), np.uint8)).astype(bool)
    hits = bits[_places(names, salt, len(bits), group["hashes"])].all(axis=1)
    return {name for name, hit in zip(names, hits, strict=True) if hit}


def _places(names: list[str], salt: bytes, size: int, hashes: int) -> np.ndarray:
    """(N, hashes) places in a filter: two halves of a digest, the second added again and again."""
    raw = b"".join(_digest(name, salt, 16) for name in names)
    halves = np.frombuffer(raw, "<u8").reshape(-1, 2)
    steps = np.arange(hashes, dtype=np.uint64)
    return (halves[:, :1] + steps * halves[:, 1:]) % np.uint64(size)


def _digest(name: str, salt: bytes, size: int) -> bytes:
    data = name.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=size, salt=salt, person=b"mfr-kit people").digest()


def _of_onnx(path: Path) -> list[Group]:
    import onnx

    try:
        proto = onnx.load(str(path), load_external_data=False)
    except Exception:  # noqa: BLE001  protobuf's errors share no base class; who opens the model says what is wrong with it
        return []
    stored = {item.key: item.value for item in proto.metadata_props}
    return parse_groups(stored[META_PEOPLE], str(path)) if META_PEOPLE in stored else []


def parse_groups(text: str, where: str) -> list[Group]:
    """Check groups from a file, as everything that comes from elsewhere."""
    try:
        groups = json.loads(text)
        for group in groups:
            _check(group)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise KitError(
            f"{where}: what it says of the people it was trained on ({META_PEOPLE}) is damaged: "
            "write the file again"
        ) from None
    return groups


def _check(group: Group) -> None:
    if not isinstance(group["model"], str) or type(group["people"]) is not int:
        raise ValueError("model and people")
    if not 0 <= len(bytes.fromhex(group["salt"])) <= 16 or ("digests" in group) == (
        "bloom" in group
    ):
        raise ValueError("salt")
    raw = base64.b64decode(group["digests" if "digests" in group else "bloom"], validate=True)
    if "digests" in group and len(raw) != 8 * group["people"]:
        raise ValueError("digests")
    if "bloom" in group and not (
        raw and type(group["hashes"]) is int and 1 <= group["hashes"] <= 64
    ):
        raise ValueError("bloom")


def _unique(groups: Iterable[Group]) -> list[Group]:
    return list({json.dumps(group, sort_keys=True): group for group in groups}.values())
