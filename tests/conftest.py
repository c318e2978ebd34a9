"""Fixtures that several rooms use: pictures of heads, and a face set made of them."""

import os
import signal

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # the workers share the cores: threads of each on all of them would mostly wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfr_kit.data.alignment.align import TEMPLATE
from mfr_kit.data.face_set import faceset
from mfr_kit.data.face_set.content import digest_of
from mfr_kit.data.face_set.faceset_writer import write_rows
from mfr_kit.data.images import encode
from mfr_kit.seeding import rng_for

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell's & does; commands inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the files with slow tests run first: begun last, one would run on alone at the end. Those
    of a file stay together, for the sake of what they share.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def head(person: int, take: int = 0, size: int = 112) -> np.ndarray:
    """Draw an aligned colour head: the person decides its shape and colours, the take its light
    and noise.
    """
    own, rng = rng_for(11, person), rng_for(12, person, take)
    image = np.full((112, 112, 3), own.integers(30, 220, 3), np.uint8)
    skin = tuple(
        int(v) for v in (own.integers(150, 240), own.integers(100, 180), own.integers(80, 150))
    )
    cv2.ellipse(
        image, (56, 62), (int(own.integers(36, 46)), int(own.integers(46, 54))), 0, 0, 360, skin, -1
    )
    for x, y in TEMPLATE[:2]:
        cv2.circle(image, (int(x), int(y)), int(own.integers(4, 8)), (250, 250, 250), -1)
        cv2.circle(image, (int(x), int(y)), 3, tuple(int(v) for v in own.integers(0, 120, 3)), -1)
    cv2.line(
        image,
        (56, 50),
        tuple(int(v) for v in TEMPLATE[2]),
        tuple(int(v * 0.7) for v in skin),
        int(own.integers(2, 6)),
    )
    cv2.ellipse(image, (56, 92), (15, int(own.integers(3, 7))), 0, 0, 360, (170, 40, 60), -1)
    lit = image * rng.uniform(0.7, 1.2) + rng.normal(0, 6, image.shape)
    return cv2.resize(np.clip(lit, 0, 255).astype(np.uint8), (size, size))


def files_of(folder: Path) -> dict[str, bytes]:
    """Read all files below a folder, by their paths in it."""
    return {
        item.relative_to(folder).as_posix(): item.read_bytes()
        for item in folder.rglob("*")
        if item.is_file()
    }


def write_faceset(
    folder: Path,
    people: int = 6,
    takes: int = 4,
    twins: bool = True,
    names: Sequence[str] = (),
) -> faceset.FaceSet:
    """Write a face set of drawn heads; a twin has its lower half painted blue. `names` are those of
    the first people.
    """
    rows = []
    for person in range(people):
        name = names[person] if person < len(names) else f"p{person:02d}"
        for take in range(takes):
            clean_key = f"faces/{name}/{take}.jpg"
            image = head(person, take)
            masked = image.copy()
            masked[66:] = (60, 110, 180)
            for key, pixels, own in (
                (clean_key, image, ""),
                (f"faces/{name}/{take}.masked.jpg", masked, clean_key),
            )[: 1 + twins]:
                data = encode(pixels)
                (folder / key).parent.mkdir(parents=True, exist_ok=True)
                (folder / key).write_bytes(data)
                rows.append(
                    {
                        "key": key,
                        "source": f"{name}/{take}.jpg",
                        "identity": name,
                        "condition": "mask" if own else "nonmask",
                        "landmarks": TEMPLATE.ravel().tolist(),
                        "similarity": faceset.ALIGNED,
                        "score": 0.9,
                        "clean_key": own,
                        "mask": '{"template": "flat"}' if own else "",
                        "digest": digest_of(data),
                    }
                )
    write_rows(folder, [(rows, [])], {"kit_version": "test"})
    return faceset.FaceSet.open(folder)


@pytest.fixture
def drawn_set(tmp_path: Path) -> faceset.FaceSet:
    """A face set of 6 drawn people x 4 takes, each face with a masked twin."""
    return write_faceset(tmp_path / "set")


@pytest.fixture
def real_data() -> Path:
    """The folder with LFW and RMFRD; the test is skipped, saying so, where there is none."""
    folder = os.environ.get("MFR_KIT_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("MFR_KIT_DATA does not name a folder with lfw/ and rmfrd-dev/")
    return Path(folder)


@pytest.fixture(scope="session")
def machines():
    """A Ray cluster whose head has one CPU."""
    pytest.importorskip("ray", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    made = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    yield made
    made.shutdown()


@pytest.fixture
def second(machines):
    """Another machine of the cluster."""
    node = machines.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    yield node
    if node in machines.list_all_nodes():
        machines.remove_node(node)
