"""Faces of people whom nobody named: `augment --faces all` takes them under the name of whoever the
photograph is of.
"""

from mfr_kit.data.alignment.face_choice import ALL, SEVERAL
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError


def refuse_bystanders(faces: FaceSet, command: str) -> None:
    """Refuse a set with bystanders where identities count.

    Args:
        faces: of any set; one whose photographs hold one face each is fine.
        command: what was to be done with it.
    Raises:
        KitError: every face of photographs with several was taken.
    """
    options, notes = (faces.about.get(name) for name in ("options", "notes"))
    if not isinstance(options, dict) or options.get("faces") != ALL:
        return
    if isinstance(notes, dict) and (several := notes.get(SEVERAL)):
        raise KitError(
            f"{faces.folder} was made with --faces {ALL}, and {several} photograph(s) hold "
            f"{SEVERAL}: bystanders have the name of the person's folder, and {command} would take "
            "them for that person; make the set without it, or sort the faces into people first"
        )
