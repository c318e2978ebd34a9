"""Load an unpacked package as the organisers would, in a fresh process: `python harness.py
FOLDER PHOTOS.npz`. Prints JSON. Not packed.
"""

import json
import sys
import time

import numpy as np


def main(folder, photos):
    sys.path.insert(0, folder)
    from pywebface260mmfr_implement import PyWebFace260M

    entry = PyWebFace260M()
    entry.load(folder)
    blank = entry.get_feature(np.zeros((480, 640, 3), np.uint8))
    features, times = [], []
    with np.load(photos) as stored:
        for name in sorted(stored.files):
            start = time.perf_counter()
            features.append(entry.get_feature(stored[name]))
            times.append((time.perf_counter() - start) * 1000)
    print(
        json.dumps(
            {
                "size": int(blank.shape[0]),
                "blank_is_zero": not blank.any(),
                "found": int(sum(bool(feature.any()) for feature in features)),
                "photos": len(features),
                "finite": bool(all(np.isfinite(feature).all() for feature in features)),
                "self_similarity": [
                    entry.get_sim(feature, feature) for feature in features if feature.any()
                ],
                "no_face_similarity": entry.get_sim(blank, blank),
                "time_ms": times,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
