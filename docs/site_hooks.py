"""What mkdocs does not do by itself: a link from docs/ to a file of the repository outside it
leads to a copy of that file in the site, so that the same link works on GitHub and here.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
COPIES = "repository"  # the site's folder for files from outside docs/
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)#\s]+)(?=[)#])")
ORDER = ("Guides", "Extend", "Reference", "Repository")
START = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


def on_files(files: Files, config: dict) -> Files:
    """Add every file outside docs/ that a page leads to, and what those lead to."""
    waiting = [f"docs/{file.src_uri}" for file in files.documentation_pages()] + list(START)
    seen = set()
    while waiting:
        path = waiting.pop()
        if path in seen or not (ROOT / path).is_file():
            continue
        seen.add(path)
        if not path.startswith("docs/"):
            content = (ROOT / path).read_bytes()
            files.append(File.generated(config, f"{COPIES}/{path}", content=content))
        if path.endswith(".md"):
            waiting += _targets(path)
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links between files of the repository into links between files of the site."""
    uri = page.file.src_uri
    of_repository = uri.removeprefix(f"{COPIES}/")
    here = of_repository if of_repository != uri else f"docs/{uri}"

    def moved(found: re.Match) -> str:
        target = _resolve(here, found[0])
        site = target[len("docs/") :] if target.startswith("docs/") else f"{COPIES}/{target}"
        return posixpath.relpath(site, posixpath.dirname(uri) or ".")

    return LINK.sub(moved, markdown)


def on_nav(nav: Navigation, **_: object) -> Navigation:
    """Show the guides before what is looked up."""
    titles = [title.lower() for title in ORDER]
    nav.items.sort(
        key=lambda item: (
            titles.index((item.title or "").lower()) if (item.title or "").lower() in titles else -1
        )
    )
    for section in nav.items:
        for item in getattr(section, "children", None) or ():
            if item.title == "Results" and item.is_section:
                item.title = "Tables of results"
    return nav


def _targets(path: str) -> Iterator[str]:
    for found in LINK.finditer((ROOT / path).read_text(encoding="utf-8")):
        yield _resolve(path, found[0])


def _resolve(path: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
