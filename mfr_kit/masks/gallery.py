"""A page to look at in a browser: every look over yaw, with the TOML that makes it beside the
pictures.
"""

import base64
import html
from collections.abc import Callable
from pathlib import Path

from mfr_kit import files
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.masks import drawn_heads, library
from mfr_kit.masks.library import Library, Mask
from mfr_kit.masks.render import render
from mfr_kit.masks.sheet_faces import Face, FaceSource, load_faces
from mfr_kit.paths import check_output
from mfr_kit.seeding import rng_for
from mfr_kit.text import read_text
from mfr_kit.web_page import policy

_YAWS = (-50, -25, 0, 25, 50)
_FACES = 5
_TITLE = "<title>Masks</title>"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; color: #222; background: #fff }
section { border-top: 1px solid #ccc; padding: 1rem 0; display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 1.5rem }
h2 { grid-column: 1 / -1; margin: 0; font-size: 1.1rem } h2 small { font-weight: normal; color: #666 }
img { border-radius: 4px; margin: 0 4px 4px 0 }
pre { font-size: 12px; overflow: auto; background: #f5f5f5; padding: .8rem; max-height: 340px; margin: 0 }
nav a { margin-right: .8em; white-space: nowrap } h3 { font-size: .85rem; margin: .6rem 0 .2rem; color: #666; font-weight: normal }
@media (max-width: 800px) { section { grid-template-columns: 1fr } }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } pre { background: #222 } a { color: #8ab4f8 } }
"""


def write(
    out: Path,
    masks: list[str] | None,
    folder: Path | None,
    source: FaceSource,
    tile: int,
    seed: int,
    report: Callable[[str], None] = print,
) -> Path:
    """Write `index.html` with its pictures inside; returns its path.

    Args:
        out: folder to write into.
        masks: looks or kinds to show; None for all.
        folder: of masks; None for the kit's own.
        source: the faces to draw on.
        tile: side of a picture in pixels.
        seed: same seed, same page.
        report: takes the line that says which pictures were left out, if any.
    Raises:
        KitError: the folder's name is a file's, or see `library.load` and `sheet_faces.load_faces`.
    """
    if out.exists() and not out.is_dir():
        raise KitError(f"{out} is a file: the gallery is written into a folder")
    shown = masks if masks is not None else library.names(folder)
    chosen = library.load(shown, folder)
    target = out / "index.html"
    check_output(out, "folder", "OUT")
    check_output(target, "file", "OUT")
    if target.exists() and _TITLE not in target.read_text(encoding="utf-8", errors="replace"):
        raise KitError(f"{target} is a page of somebody else: choose another folder")
    usual = library.load(None, folder).shares
    faces = load_faces(source, _FACES, tile, seed, report)
    sections = [
        _section(chosen, name, faces, usual.get(name, 0.0), tile, seed) for name in chosen.looks
    ]
    links = "".join(
        f'<a href="#{html.escape(name)}">{html.escape(name)}</a>' for name in chosen.looks
    )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width">'
        f"{policy(_STYLE)}{_TITLE}<style>{_STYLE}</style><h1>{len(chosen.looks)} looks of {len(chosen.kinds)} "
        "kinds</h1>"
        f"<nav>{links}</nav>{''.join(sections)}</html>\n"
    )
    files.write_text(target, page)
    return target


def _section(
    chosen: Library, name: str, faces: list[Face], share: float, tile: int, seed: int
) -> str:
    look = chosen.looks[name]
    only = Library({name: look}, {name: 1.0}, chosen.mix)
    turned, pictures = [], []
    straight = {
        "style": "right",
        "top": look.fit.top,
        "bottom": look.fit.bottom,
        "width": 1.0,
        "shift": 0.0,
        "tilt_deg": 0.0,
    }
    base = only.draw(rng_for(seed, 6)).parameters | straight
    for yaw in _YAWS:
        turned.append(
            _picture(
                *drawn_heads.draw(tile, yaw),
                Mask(look, base),
                f"{name}, head turned by {yaw} degrees",
            )
        )
    for index, face in enumerate(faces):
        mask = only.draw(rng_for(seed, 7, index))
        pictures.append(
            _picture(face.image, face.landmarks, mask, f"{name}, {mask.parameters['style']}")
        )
    title = (
        f"{html.escape(name)} <small>{html.escape(look.kind)}, {100 * share:.1f} % of the "
        "mix</small>"
    )
    source = html.escape(read_text(look.toml, "the mask"))
    return (
        f'<section id="{html.escape(name)}"><h2>{title}</h2>'
        "<div><h3>over "
        f"yaw</h3>{''.join(turned)}<h3>drawn</h3>{''.join(pictures)}</div><pre>{source}</pre></section>"
    )


def _picture(image, landmarks, mask: Mask, text: str) -> str:
    masked, _ = render(image, landmarks, mask, rng_for(0))
    data = base64.b64encode(encode(masked, ".jpg")).decode()
    return (
        f'<img alt="{html.escape(text)}" title="{html.escape(text)}" '
        f'width="{image.shape[1] // 4 * 3}" src="data:image/jpeg;base64,{data}">'
    )
