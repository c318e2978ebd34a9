"""A page on paper, printed by whatever Chromium is there."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from mfr_kit import files
from mfr_kit.errors import KitError

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
    "microsoft-edge",
)
MOST_SECONDS = 300
_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-pdf-header-footer",
)


def find_browser() -> str:
    """Return the path of a Chromium or one of its kin.

    Raises:
        KitError: there is none.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise KitError(
            "--pdf prints through Chromium, Chrome or Edge, and none is on the PATH: install one "
            "(Debian: apt install chromium), or print report.html from any browser"
        )
    return found


def write_pdf(page: Path, path: Path) -> Path:
    """Print a page to `path`; returns it.

    Raises:
        KitError: there is no browser, or it prints nothing.
    """
    browser = find_browser()
    # Chromium's sandbox refuses to start for root; the page has no script and may fetch nothing
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder, files.replacing(path) as temporary:
        printed = Path(folder) / "page.pdf"
        call = [browser, *_FLAGS, *root, f"--user-data-dir={folder}/profile"]
        call += [f"--print-to-pdf={printed}", Path(page).resolve().as_uri()]
        try:
            done = subprocess.run(
                call,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=MOST_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise KitError(f"{browser} did not print {page} in {MOST_SECONDS} s") from None
        if not printed.is_file():
            said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise KitError(f"{browser} did not print {page}: {said[:300]}")
        shutil.copyfile(printed, temporary)
    return path
