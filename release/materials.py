"""What the kit is made of, from its locks: a page of licences, and a bill of materials (CycloneDX
1.6, JSON) that goes beside a release.

    python release/materials.py --licences docs/reference/licences.md --sbom dist/mfr-kit.cdx.json

Licences are what the packages say that are installed here; nothing is asked of a registry.
"""

import argparse
import hashlib
import importlib.metadata
import json
import re
import sys
import tomllib
import uuid
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from mfr_kit import __version__, files  # noqa: E402  the checkout's, whichever is installed

LOCK, CARRIERS = "requirements.lock", "requirements-demo.txt"
UNKNOWN = "not installed where this page was made"
_ENTRY = re.compile(
    r"(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?:\s*;\s*(?P<marker>[^\\]+?))?\s*\\?$"
)
_SPACE = uuid.UUID("6f3f3a5e-6d4f-5c0b-9d0a-3f0f3c1f2a10")  # of the serial numbers
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


@dataclass(frozen=True)
class Package:
    """A pinned package; `needed_by` names packages of the lock, or a requirements file."""

    name: str
    version: str
    marker: str  # where it is needed, "" for everywhere
    hashes: tuple[str, ...]  # sha256 of its files for every platform
    needed_by: tuple[str, ...]


def read_lock(path: Path) -> list[Package]:
    """Read a file of pinned packages with hashes, as `make lock` writes it.

    Raises:
        ValueError: a package without a hash.
    """
    found = []
    text = path.read_text(encoding="utf-8")
    for block in re.split(r"\n(?=[^\s#])", "\n" + text):
        lines = [line.strip() for line in block.strip().splitlines()]
        lines = [line for line in lines if line and not line.startswith("#    make")]
        head = re.sub(r"\s--hash=.*", "", lines[0]) if lines else ""
        entry = _ENTRY.match(head)
        if not entry:
            continue
        hashes = tuple(re.findall(r"--hash=sha256:([0-9a-f]{64})", block))
        if not hashes:
            raise ValueError(f"{path}: {entry['name']} has no hash")
        via = " ".join(line for line in lines if line.startswith("#")).replace("#", " ")
        needed = tuple(re.sub(r"\b(via|-r|-c)\b", " ", via).split()) if "via" in via else ()
        found.append(
            Package(entry["name"], entry["version"], entry["marker"] or "", hashes, needed)
        )
    return found


def licence_of(package: Package) -> str:
    """The licence that an installed package says it has, of whatever version; `UNKNOWN` where none
    is installed.
    """
    try:
        said = importlib.metadata.metadata(package.name)
    except importlib.metadata.PackageNotFoundError:
        return UNKNOWN
    named = [
        _CLASSIFIERS.get(last, last)
        for entry in said.get_all("Classifier") or []
        if entry.startswith("License ::")
        and (last := entry.rpartition(" :: ")[2]) != "OSI Approved"
    ]
    text = (said.get("License") or "").strip()
    short = text if text and "\n" not in text and len(text) <= 60 else ""
    return said.get("License-Expression") or " or ".join(named) or short or "does not say"


def licences_page(packages: list[Package]) -> str:
    """Write the page of licences as Markdown."""
    rows = [
        f"| {package.name} | {package.version} | {licence_of(package)} | {_where(package)} |"
        for package in packages
    ]
    lines = [
        "# Licences",
        "",
        "What `requirements.txt` and the demo's carriers bring, as the packages themselves say. "
        "Made by `make lock`.",
        "",
        "| package | version | licence | where |",
        "| --- | --- | --- | --- |",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def _where(package: Package) -> str:
    return f"`{package.marker}`" if package.marker else "everywhere"


def bill(packages: list[Package]) -> dict:
    """Compose the CycloneDX document: equal for equal locks, so that it can be made again."""
    root = f"pkg:pypi/mfr-kit@{__version__}"
    names = {package.name for package in packages}
    needs: dict[str, list[str]] = {}
    for package in packages:
        parents = [_plain(name) for name in package.needed_by]
        for name in [name for name in parents if name in names] or [""]:
            needs.setdefault(name, []).append(purl(package))
        if any("requirements" in name for name in package.needed_by):
            needs.setdefault("", []).append(purl(package))
    components = [component(package) for package in packages]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    digest = hashlib.sha256(json.dumps(components).encode()).hexdigest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, root + digest)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": "mfr-kit",
                "version": __version__,
                "description": project["description"],
                "licenses": [{"license": {"id": project["license"]}}],
                "purl": root,
            }
        },
        "components": components,
        "dependencies": [
            {"ref": root, "dependsOn": sorted(set(needs.get("", [])))},
            *(
                {"ref": purl(package), "dependsOn": sorted(set(needs.get(package.name, [])))}
                for package in packages
            ),
        ],
    }


def component(package: Package) -> dict:
    """Describe a package for the bill."""
    licence = licence_of(package)
    kind = "expression" if re.fullmatch(r"[\w.+()-]+( (AND|OR|WITH) [\w.+()-]+)*", licence) else ""
    known = {"licenses": [{"expression": licence}]} if kind else {}
    if not kind and licence != UNKNOWN:
        known = {"licenses": [{"license": {"name": licence}}]}
    where = {"properties": [{"name": "mfr-kit:needed-where", "value": package.marker}]}
    return {
        "type": "library",
        "bom-ref": purl(package),
        "name": package.name,
        "version": package.version,
        "purl": purl(package),
        **known,
        # a package is many files: which of them a machine takes is pip's choice, by these sums
        "externalReferences": [
            {
                "type": "distribution",
                "url": purl(package),
                "hashes": [{"alg": "SHA-256", "content": value} for value in package.hashes],
            }
        ],
        **(where if package.marker else {}),
    }


def purl(package: Package) -> str:
    """The package's URL, as bills of materials name packages."""
    return f"pkg:pypi/{_plain(package.name)}@{package.version}"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(arguments: list[str] | None = None) -> None:
    """Write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--licences", type=Path, help="Markdown page to write")
    parser.add_argument("--sbom", type=Path, help="CycloneDX file to write")
    asked = parser.parse_args(arguments)
    packages = read_lock(ROOT / LOCK) + read_lock(ROOT / CARRIERS)
    if asked.licences:
        files.write_text(asked.licences, licences_page(packages))
    if asked.sbom:
        files.write_json(asked.sbom, bill(packages))


if __name__ == "__main__":
    main()
