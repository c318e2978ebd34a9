"""Whom a model was trained on: no name leaves the run folder, nobody is missed, and damage is
said in a line.
"""

import json
import unicodedata

import onnx
import pytest
from onnx import helper

from mfr_kit.errors import KitError
from mfr_kit.models import trained_people

FINGERPRINT = "ab" * 32


def digests(names, model="run"):
    groups = [{"model": model, "people": len(names), "names": list(names)}]
    return trained_people.digested(groups, FINGERPRINT)


def onnx_file(path, text):
    proto = helper.make_model(helper.make_graph([], "empty", [], []))
    helper.set_model_props(proto, {trained_people.META_PEOPLE: text})
    onnx.save(proto, path)
    return path


def test_digests_find_exactly_the_people_and_hold_no_name(tmp_path):
    trained = [f"Person {n:04}" for n in range(5000)]
    groups = digests([*trained, "Zoë"])
    text = trained_people.to_metadata(groups)[trained_people.META_PEOPLE]
    assert "Person" not in text and len(text) < 1 << 17 and trained_people.is_exact(groups)
    read = trained_people.groups_of(onnx_file(tmp_path / "m.onnx", text))
    asked = ["Person 0007", unicodedata.normalize("NFD", "Zoë"), "Person 9999", "zoë"]
    assert trained_people.among(read, asked) == sorted(asked[:2])
    assert digests(["Zoë", *trained]) == groups  # the same bytes at every export


def test_past_64_kib_a_bloom_filter_misses_nobody_and_errs_as_rarely_as_it_says():
    trained = [f"p{n}" for n in range(7000)]
    groups = digests(trained)
    (group,) = groups
    assert (
        "bloom" in group
        and group["false_positives"] == 1e-5
        and not trained_people.is_exact(groups)
    )
    assert trained_people.among(groups, trained) == sorted(trained)
    assert len(trained_people.among(groups, (f"q{n}" for n in range(20_000)))) <= 3
    smaller = digests(trained[:6000])
    assert "digests" in smaller[0] and trained_people.among(smaller, trained) == sorted(
        trained[:6000]
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda group: group.pop("salt"),
        lambda group: group.update(digests="not base64!"),
        lambda group: group.update(digests=group["digests"][:-4]),
        lambda group: group.update(bloom="AAAA", hashes=3),
        lambda group: group.update(people="many"),
        lambda group: (group.pop("digests"), group.update(bloom="AAAA", hashes=10**9)),
        lambda group: (group.pop("digests"), group.update(bloom="", hashes=3)),
    ],
)
def test_damage_is_said_in_a_line(tmp_path, change):
    (group,) = digests(["a", "b"])
    change(group)
    with pytest.raises(KitError, match=r"m\.onnx: what it says of the people .* is damaged"):
        trained_people.groups_of(onnx_file(tmp_path / "m.onnx", json.dumps([group])))
    for text in ("{", "7", "null", '["a"]', "[" * 100_000):
        with pytest.raises(KitError, match="is damaged"):
            trained_people.groups_of(onnx_file(tmp_path / "m.onnx", text))


def test_a_run_folder_says_its_own_people_by_name_and_its_ancestors_by_digest(tmp_path):
    for name, own, ancestors in (("one", ["#1", " b"], digests(["c"])), ("two", ["d"], [])):
        (tmp_path / name).mkdir()
        trained_people.store(tmp_path / name, own, ancestors)
        (tmp_path / name / "best.pt").write_bytes(b"")
    everybody = ["#1", " b", "c", "d", "e"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert trained_people.among(trained_people.groups_of(one), everybody) == [" b", "#1", "c"]
    assert trained_people.among(trained_people.groups_of(one / "best.pt"), everybody) == [
        " b",
        "#1",
        "c",
    ]
    assert trained_people.among(trained_people.groups_of(f"{one},{two}"), everybody) == [
        " b",
        "#1",
        "c",
        "d",
    ]
    (tmp_path / "mean").mkdir()
    trained_people.unite([one, two], tmp_path / "mean")
    assert trained_people.among(trained_people.groups_of(tmp_path / "mean"), everybody) == [
        " b",
        "#1",
        "c",
        "d",
    ]
    assert (tmp_path / "mean" / trained_people.TRAINED).read_text() == '" b"\n"#1"\nd\n'
    assert (
        trained_people.groups_of("sface") == []
        and trained_people.groups_of(tmp_path / "gone.onnx") == []
    )
