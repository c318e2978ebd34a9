"""Whom `evaluate` measures: the people of a face set, groups among them, and strangers."""

from dataclasses import dataclass
from pathlib import Path

from mfr_kit.data import lists
from mfr_kit.data.face_set.bystanders import refuse_bystanders
from mfr_kit.data.face_set.faceset import MASK, NO_FACE, NONMASK, FaceSet
from mfr_kit.data.face_set.set_folder import GROUPS
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.embedding_file import is_embedding_file, read_rows
from mfr_kit.evaluation.inputs.faces import Faces, strangers_from
from mfr_kit.evaluation.inputs.overlap import find_overlap
from mfr_kit.evaluation.verification.groups import groups_among
from mfr_kit.seeding import key_of, rng_for

Strangers = FaceSet | list[Faces] | None


@dataclass(frozen=True)
class Subjects:
    """The faces of whom models are measured on.

    Attributes:
        whole: the face set as it is.
        measured: its faces that are measured.
        sample: of how many people and faces they are a sample, None for all.
    """

    whole: FaceSet
    measured: FaceSet
    sample: dict | None = None

    def about(self, measured: FaceSet) -> dict:
        """Say in plain values what was measured; `measured`, where less was than is chosen."""
        reasons: dict[str, int] = {}
        for row in measured.skipped:
            reasons[row["reason"]] = reasons.get(row["reason"], 0) + 1
        missed = [row["condition"] for row in measured.skipped if row["reason"] == NO_FACE]
        counted = {name: int((measured.conditions == name).sum()) for name in (NONMASK, MASK)}
        return {
            "name": measured.name,
            "fingerprint": measured.fingerprint,
            "faces": len(measured),
            "people": len(measured.people),
            "conditions": counted,
            "not_found": {name: missed.count(name) for name in (NONMASK, MASK)},
            "skipped": reasons,
            "sampled": self.sample,
            "alignment": alignment_of(measured),
        }


def alignment_of(faceset: FaceSet) -> dict:
    """Say how the faces of a set were aligned, as far as the set says; a path stays out of it."""
    options = faceset.about.get("options", {})
    detector = {"detector": options["detector"]} if _is_word(options.get("detector")) else {}
    kinds = {"aligned": bool, "alignment": str, "upright": bool, "mask_on": str}
    return detector | {
        name: options[name] for name, kind in kinds.items() if isinstance(options.get(name), kind)
    }


def _is_word(value: object) -> bool:
    return isinstance(value, str) and value.isidentifier()


def choose(
    folder: Path, people: Path | None, allow_unknown: bool, sample: int | None, seed: int
) -> Subjects:
    """Open a face set and choose whom of it to measure.

    Args:
        folder: of the set.
        people: list of names, None for all.
        allow_unknown: whether names that are not in the set are left out.
        sample: people to draw, None for all.
        seed: of the draw.
    Raises:
        KitError: the set or the list cannot be read, none of its people has a face, or it has
            bystanders.
    """
    whole = FaceSet.open(folder)
    refuse_bystanders(whole, "evaluate")
    measured = whole if people is None else _of_people(whole, folder, people, allow_unknown)
    if not sample or sample >= len(measured.people):
        return Subjects(whole, measured)
    about = {
        "people": sample,
        "of_people": len(measured.people),
        "of_faces": len(measured),
        "seed": seed,
    }
    draw = rng_for(seed, key_of("sample of people"))
    names = draw.choice(measured.people, sample, replace=False)
    return Subjects(whole, measured.of_people(names.tolist()), about)


def _of_people(whole: FaceSet, folder: Path, people: Path, allow_unknown: bool) -> FaceSet:
    choice = whole.chosen(people, "--people", allow_unknown)
    measured = whole.of_people(choice.found)
    if not len(measured):
        raise KitError(f"none of the {choice.entries} people of {people} has a face in {folder}")
    lists.echo("people", [choice], f"{len(measured):,} faces" + measured.without_face())
    return measured


def groups_of(whole: FaceSet, path: Path | None, allow_unknown: bool) -> dict[str, str] | None:
    """Read the groups of people of the whole set, of whom only a part may be measured; None where
    no file is given and none lies in the set's folder.
    """
    file = path or whole.folder / GROUPS
    if not (path or file.is_file()):
        return None
    return groups_among(file, whole, allow_unknown)


def open_strangers(given: list[str], models: list[str]) -> Strangers:
    """Open the distractors: a second set's unmasked faces, or the faces that each model's file of
    embeddings holds.

    Raises:
        KitError: neither one face set nor a file each model, or a file that cannot be read.
    """
    if not given:
        return None
    rows = [name for name in given if is_embedding_file(name)]
    if len(given) != (len(models) if rows else 1) or rows not in ([], given):
        counted = (
            f"{len(given) - len(rows)} face sets and {len(rows)} files of embeddings for "
            f"{len(models)} models"
        )
        raise KitError(
            f"--distractors: {counted}; give one face set, or one file of embeddings each model, "
            "in their order"
        )
    if rows:
        return [strangers_from(*read_rows(Path(name))) for name in rows]
    files = [spec for spec in models if is_embedding_file(spec)]
    if files:
        raise KitError(
            f"--distractors {given[0]}: {files[0]} holds embeddings of another set; give a file "
            "of the distractors' embeddings"
        )
    return FaceSet.open(Path(given[0])).clean()


def trained_among(
    subjects: Subjects | None, strangers: Strangers, models: list[str], allow_overlap: bool
) -> list[dict]:
    """Refuse, or report, people that a model was trained on: among those measured and among
    strangers with names.

    Raises:
        KitError: there are some, and `allow_overlap` is False.
    """
    if subjects is None:
        return []
    measured = set(subjects.measured.people)
    if isinstance(strangers, FaceSet):
        measured |= set(strangers.people)
    return find_overlap(models, measured, allow_overlap)
