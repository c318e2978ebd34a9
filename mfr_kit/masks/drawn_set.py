"""A face set of heads that the kit draws itself: something to try every command and example on,
without a photograph of anybody.
"""

from pathlib import Path

from mfr_kit import __version__, paths
from mfr_kit.data.alignment.align import estimate_similarity, transform_points, warp
from mfr_kit.data.face_set import faceset
from mfr_kit.data.face_set.content import digest_of
from mfr_kit.data.face_set.faceset_writer import write_rows
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.masks import drawn_heads
from mfr_kit.seeding import rng_for

_SIDE = 128  # pixels of a drawn photograph, at which the face has about its aligned size


def draw_face_set(
    folder: str | Path, people: int = 8, photos: int = 4, seed: int = 0
) -> faceset.FaceSet:
    """Draw people's heads, each turned a few ways, and write them as a face set.

    Args:
        folder: where the set is written; the very set that lies there already is taken as it is.
        people: at least 2; a dozen are easy to tell apart, hundreds are not.
        photos: of each person, at least 1.
        seed: >= 0, of how the heads are turned.
    Returns:
        The set, people * photos unmasked faces.
    Raises:
        KitError: the folder holds something else already, or a number is too small.
    Example:
        >>> faces = mk.draw_face_set(tmp / "heads", people=2, photos=1)
        >>> image, label = faces[1]
        >>> image.shape, label, faces.identities.tolist()
        ((112, 112, 3), 1, ['person-000', 'person-001'])
    """
    folder = Path(folder)
    if people < 2 or photos < 1 or seed < 0:
        raise KitError(
            f"{people} people with {photos} photos, seed {seed}: at least 2 people with 1 photo, "
            "and a seed from 0 on"
        )
    asked = {"people": people, "photos": photos, "seed": seed}
    if (folder / faceset.ABOUT).is_file():
        found = faceset.FaceSet(folder)
        if found.about.get("drawn") == asked:
            return found
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise KitError(f"{folder} exists already: choose another folder or remove it first")
    paths.check_output(folder, "folder", "the face set")
    rows = [
        _write_face(folder, person, photo, seed)
        for person in range(people)
        for photo in range(photos)
    ]
    write_rows(folder, [(rows, [])], {"kit_version": __version__, "drawn": asked})
    return faceset.FaceSet(folder)


def _write_face(folder: Path, person: int, photo: int, seed: int) -> dict:
    """Draw, align and write one face; returns its row."""
    yaw, pitch, roll = rng_for(seed, person, photo).uniform((-20, -8, -6), (20, 8, 6))
    head, landmarks = drawn_heads.draw(_SIDE, yaw, pitch, roll, person)
    matrix = estimate_similarity(landmarks)
    name = f"person-{person:03d}/{photo:02d}.jpg"
    encoded = encode(warp(head, matrix))
    path = folder / "faces" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded)
    return {
        "key": f"faces/{name}",
        "source": name,
        "identity": f"person-{person:03d}",
        "condition": faceset.NONMASK,
        "landmarks": transform_points(landmarks, matrix).ravel().tolist(),
        "similarity": [*matrix[:, 0].tolist(), *matrix[:, 2].tolist()],
        "score": 1.0,
        "clean_key": "",
        "mask": "",
        "digest": digest_of(encoded),
    }
