"""The locks hold what requirements*.txt name, with sums; the page of licences and the bill of
materials follow from them.
"""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("materials", ROOT / "release/materials.py")
materials = importlib.util.module_from_spec(spec)
spec.loader.exec_module(materials)

LOCKS = {
    "requirements.lock": "requirements.txt",
    "requirements-dev.lock": "requirements-dev.txt",
    "requirements-docs.lock": "requirements-docs.txt",
}


def pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    found = re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==([^\s#;\\]+)", text, re.M)
    return {name.lower(): version for name, version in found}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_what_is_asked_for_with_sums(lock: str):
    packages = materials.read_lock(ROOT / lock)
    locked = {package.name: package.version for package in packages}
    wanted = pins(LOCKS[lock])
    assert wanted and wanted.items() <= locked.items(), "run `make lock`"
    assert all(package.hashes for package in packages)
    text = (ROOT / lock).read_text(encoding="utf-8")
    entries = len(re.findall(r"^[\w.-]+(\[[\w,]+\])?==", text, re.M))
    assert entries == len(packages)
    assert "://" not in text  # no registry's address: pip takes the one it is set up with


def test_locks_agree_with_each_other():
    first = pins("requirements.lock")
    for lock in LOCKS:
        other = pins(lock)
        shared = first.keys() & other.keys() - {"networkx", "scipy", "tifffile", "numpy"}
        assert {name: first[name] for name in shared} == {name: other[name] for name in shared}


def test_a_package_without_a_sum_is_refused(tmp_path: Path):
    (tmp_path / "x.lock").write_text("numpy==2.4.6\n    # via -r requirements.txt\n")
    with pytest.raises(ValueError, match="numpy has no hash"):
        materials.read_lock(tmp_path / "x.lock")


def test_the_page_of_licences_is_of_the_lock():
    text = (ROOT / "docs/reference/licences.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w.-]+) \| (\S+) \| (.+?) \|", text, re.M)
    packages = materials.read_lock(ROOT / "requirements.lock")
    packages += materials.read_lock(ROOT / "requirements-demo.txt")
    wanted = {(package.name, package.version) for package in packages}
    heads = {("package", "version"), ("---", "---")}
    assert {(name, version) for name, version, _ in rows} - heads == wanted
    copyleft = [name for name, _, licence in rows if re.search(r"\bA?GPL", licence)]
    assert copyleft == [], "the kit is Apache-2.0"


def test_the_bill_names_everything_and_is_the_same_each_time(tmp_path: Path):
    for name in ("a", "b"):
        materials.main(["--sbom", str(tmp_path / name)])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    bill = json.loads((tmp_path / "a").read_text(encoding="utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    references = {part["bom-ref"] for part in bill["components"]}
    assert len(references) == len(bill["components"])
    (torch,) = (part for part in bill["components"] if part["name"] == "torch")
    assert torch["purl"] == f"pkg:pypi/torch@{pins('requirements.txt')['torch']}"
    assert torch["externalReferences"][0]["hashes"][0]["alg"] == "SHA-256"
    edges = {entry["ref"]: entry["dependsOn"] for entry in bill["dependencies"]}
    root = bill["metadata"]["component"]["bom-ref"]
    assert torch["purl"] in edges[root]
    assert any(name.startswith("pkg:pypi/sympy@") for name in edges[torch["purl"]])
    reached, left = set(), [root]
    while left:
        reference = left.pop()
        if reference not in reached:
            reached.add(reference)
            left += edges[reference]
    assert reached == references | {root}
