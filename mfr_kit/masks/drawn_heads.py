"""Heads that the kit draws itself, turned any way, with known landmarks: for previews without
photographs and for golden sheets.
"""

from math import cos, radians, sin

import numpy as np

from mfr_kit.masks import head, surface
from mfr_kit.masks.pose import Pose

_SKINS = np.array(
    [[224, 172, 144], [198, 140, 104], [141, 94, 68], [240, 200, 176], [104, 68, 50]], np.float32
)
_HAIRS = np.array(
    [[40, 30, 26], [92, 62, 40], [22, 20, 22], [170, 134, 84], [120, 118, 116]], np.float32
)


def rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> np.ndarray:
    """Compose a head's rotation so that `Pose.yaw`, `.pitch` and `.roll` come near the given
    angles; (3, 3) float64.
    """
    y, p, r = radians(yaw_deg), radians(pitch_deg), radians(roll_deg)
    turn = np.array([[cos(y), 0, sin(y)], [0, 1, 0], [-sin(y), 0, cos(y)]])
    nod = np.array([[1, 0, 0], [0, cos(p), sin(p)], [0, -sin(p), cos(p)]])
    tilt = np.array([[cos(r), -sin(r), 0], [sin(r), cos(r), 0], [0, 0, 1]])
    return tilt @ nod @ turn


def draw(
    size: int = 160,
    yaw_deg: float = 0.0,
    pitch_deg: float = 0.0,
    roll_deg: float = 0.0,
    person: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a head.

    Args:
        size: side of the square image in pixels.
        yaw_deg: turn to the side.
        pitch_deg: nod.
        roll_deg: tilt in the image plane.
        person: chooses skin, hair, light and background.
    Returns:
        (size, size, 3) uint8 RGB, and its (5, 2) float32 landmarks.
    """
    scale = size / 250
    pose = Pose(
        rotation(yaw_deg, pitch_deg, roll_deg), scale, np.array([size / 2, size * 0.44]), 1.0, 1.0
    )
    middle = pose.rotation @ np.array([0.0, 35.0, -40.0])
    pose = Pose(pose.rotation, scale, pose.shift - scale * (middle[:2] - (0, 35)), 1.0, 1.0)
    mesh = surface.solve(pose, head.sections(), (0, 0, size, size), nodes=size)
    (u, v, _), hit = mesh.chart, mesh.miss < 0
    rng = np.random.default_rng(person)
    skin, hair = _SKINS[person % len(_SKINS)], _HAIRS[(3 * person + 1) % len(_HAIRS)]
    image = np.broadcast_to(rng.uniform(60, 210, 3).astype(np.float32), (size, size, 3)).copy()
    face = hit & (v > -90) & (v < 175)
    light = (
        0.72
        + 0.33 * np.cos(u / head.ARC - rng.uniform(-0.7, 0.7))
        - 0.3 * np.clip((v - 112) / 12, 0, 1)
    )
    for where, colour in _features(u, v, skin, hair):
        image = np.where((face & where)[..., None], colour * light[..., None], image)
    noise = rng.normal(0, 2.5, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8), pose.project(head.LANDMARKS).astype(
        np.float32
    )


def _features(
    u: np.ndarray, v: np.ndarray, skin: np.ndarray, hair: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Regions of the chart in painting order, each with its colour."""
    side = np.abs(u)
    eyes = ((side - 35) / 13) ** 2 + (v / 6) ** 2 < 1
    return [
        (np.ones(u.shape, bool), skin),
        ((v < -48) | ((side > 88) & (v < 8)), hair),
        (((side - 35) / 16) ** 2 + ((v + 15) / 3.5) ** 2 < 1, hair),
        (eyes, np.array([235, 232, 228], np.float32)),
        (np.hypot(side - 35, v) < 5.5, np.array([52, 40, 34], np.float32)),
        ((((side - 6) / 5) ** 2 + ((v - 44) / 2.5) ** 2 < 1), skin * 0.55),
        (
            (u / 29) ** 2 + ((v - 67) / 6) ** 2 < 1,
            skin * 0.35 + np.array([110, 36, 44], np.float32),
        ),
        ((side < 25) & (np.abs(v - 67) < 0.8), skin * 0.35),
        ((np.abs(side - 108) < 6) & (np.abs(v - 24) < 26), skin * 0.85),
    ]
