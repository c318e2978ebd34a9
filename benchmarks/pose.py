"""How well yaw is read from landmarks: `python benchmarks/pose.py [--draws 2000]`. No promises,
only figures.

Heads are projected (scale of a face aligned to 112x112, pitch N(0, 8) and roll N(0, 10) degrees)
and every landmark is moved by 1 pixel of noise. Two references: the kit's own head with each axis
stretched by up to 10 %, and a head that is not ours at all, insightface's `meanshape_68.pkl`,
stretched likewise, read from five of its points and from all 68.
"""

import argparse
import pickle
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from mfr_kit.masks import head, pose
from mfr_kit.masks.drawn_heads import rotation

SCALE = 0.54  # pixels per mm of a face aligned to 112x112
EYES_MM = 65.0
YAWS = (0, 15, 30, 45, 60)


def insightface_head() -> np.ndarray | None:
    """(68, 3) points in mm, the eyes' middle at the origin, or None where insightface is not
    installed.
    """
    try:
        from importlib.resources import files

        points = np.array(
            pickle.loads(
                (files("insightface") / "data" / "objects" / "meanshape_68.pkl").read_bytes()
            ),
            np.float64,
        )
    except (ImportError, FileNotFoundError):
        return None
    left, right = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    return (points - (left + right) / 2) * EYES_MM / np.linalg.norm(right - left)


def five_of(points: np.ndarray) -> np.ndarray:
    """Eyes, nose tip and mouth corners of 68 points."""
    return np.stack(
        [points[36:42].mean(axis=0), points[42:48].mean(axis=0), points[30], points[48], points[54]]
    )


def errors(points: np.ndarray, yaw: float, draws: int) -> np.ndarray:
    """(draws,) absolute errors of the yaw in degrees."""
    rng, found = np.random.default_rng(int(yaw)), np.empty(draws)
    for number in range(draws):
        signed = yaw * rng.choice([-1, 1])
        true = pose.Pose(
            rotation(signed, rng.normal(0, 8), rng.normal(0, 10)),
            SCALE,
            np.array([56.0, 52.0]),
            1.0,
            1.0,
        )
        seen = true.project(points * rng.uniform(0.9, 1.1, 3)) + rng.normal(0, 1, (len(points), 2))
        found[number] = abs(pose.estimate(seen).yaw - signed)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=2000)
    draws = parser.parse_args().draws
    heads = {"the kit's head, 5 points": head.LANDMARKS}
    other = insightface_head()
    if other is None:
        print("insightface's head left out: insightface is not installed")
    else:
        heads |= {"insightface's, 5 of 68": five_of(other), "insightface's, all 68": other}
    print(
        f"{'error of yaw in degrees':26}" + "".join(f"  at {yaw:2}: median   p95" for yaw in YAWS)
    )
    for name, points in heads.items():
        cells = [np.percentile(errors(points, yaw, draws), [50, 95]) for yaw in YAWS]
        print(
            f"{name:26}" + "".join(f"{middle:15.1f} {high:5.1f}" for middle, high in cells),
            flush=True,
        )


if __name__ == "__main__":
    main()
