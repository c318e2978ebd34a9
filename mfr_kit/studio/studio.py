"""What a running studio holds: the places it shows, photographs, models and open face sets."""

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator

from mfr_kit.data.alignment.detect import load_detector
from mfr_kit.data.alignment.detection import Detector
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.studio.comparison import Loaded, Models, usual_models
from mfr_kit.studio.options import StudioOptions
from mfr_kit.studio.photographs import Photographs
from mfr_kit.studio.places import Kind, Place, check_folders, find_places

OPEN_SETS = 4  # face sets whose rows stay in memory


class Studio:
    """One for all requests; each of its parts is used by one request at once.

    Args:
        options: see there.
    Raises:
        KitError: a folder that there is not.
    """

    def __init__(self, options: StudioOptions) -> None:
        self._folders = list(options.folders or [])
        check_folders(self._folders)
        self._named = list(options.model or [])
        self.most_bytes = options.max_upload_mib << 20
        self.photographs = Photographs()
        self._models = Models(options.threads)
        self._detector: Detector | None = None
        self._sets: OrderedDict[str, FaceSet] = OrderedDict()
        self._places: dict[str, Place] = {}
        self._detecting, self._embedding, self._reading = (threading.Lock() for _ in range(3))
        self.look()

    def look(self) -> tuple[list[Place], str]:
        """Look through the folders, as they are now; see `find_places`."""
        places, note = find_places(self._folders)
        self._places = {place.key: place for place in places}
        return places, note

    def place(self, kind: Kind, key: str) -> Place:
        """Give a place that was found.

        Raises:
            KitError: it was not, or is gone.
        """
        place = self._places.get(key)
        if place is None or place.kind != kind or not place.path.exists():
            raise KitError(f"this {kind} is not there any more: load the page again")
        return place

    def models_offered(self) -> list[dict[str, str]]:
        """List what may be chosen: `key` and `name`, those that the user named first."""
        offered = {f"spec {spec}": _short(spec) for spec in [*self._named, *usual_models()]}
        twice = {name for name in offered.values() if list(offered.values()).count(name) > 1}
        offered = {
            key: key.removeprefix("spec ") if name in twice else name
            for key, name in offered.items()
        }
        for place in self._places.values():
            if place.kind in ("run", "model"):
                offered.setdefault(place.key, place.name)
        return [{"key": key, "name": name} for key, name in offered.items()]

    def _spec(self, key: str) -> str:
        if key.startswith("spec "):
            spec = key.removeprefix("spec ")
            if spec in [*self._named, *usual_models()]:
                return spec
        place = self._places.get(key)
        if place is None or place.kind not in ("run", "model"):
            raise KitError("this model is not offered any more: load the page again")
        return str(place.path)

    @contextlib.contextmanager
    def embedding(self, key: str) -> Iterator[tuple[Loaded, list[Place]]]:
        """Lend a model, and the reports that may know its thresholds.

        Raises:
            KitError: it is not offered, or cannot be loaded.
        """
        reports = [place for place in self._places.values() if place.kind == "report"]
        with self._embedding:
            yield self._models.get(self._spec(key)), reports

    @contextlib.contextmanager
    def detecting(self) -> Iterator[Detector]:
        """Lend the detector.

        Raises:
            KitError: its model is not there.
        """
        with self._detecting:
            if self._detector is None:
                self._detector = load_detector()
            yield self._detector

    @contextlib.contextmanager
    def reading(self, key: str) -> Iterator[FaceSet]:
        """Lend a face set.

        Raises:
            KitError: it is not there any more, or damaged.
        """
        place = self.place("set", key)
        with self._reading:
            if key not in self._sets:
                self._sets[key] = FaceSet.open(place.path)
            self._sets.move_to_end(key)
            while len(self._sets) > OPEN_SETS:
                self._sets.popitem(last=False)
            yield self._sets[key]


def _short(spec: str) -> str:
    """The last part of a path, with the normalisation behind it."""
    return spec.replace("\\", "/").rstrip("/").rpartition("/")[2] or spec
