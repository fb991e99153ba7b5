"""Instances whose properties are sent as text."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmaps.errors import MessageRefused, TooLarge, UsageError, ValidationFailed
from lmaps.model.states import ChangesetKind
from lmaps.store import Document, Edit, Origin
from tests.in_process import InProcess

UNIT = """\
meta: {name: t, primary_key: k, strict: true}
handler: {type: noop}
params:
  type: object
  required: [k]
  properties:
    k: {type: string}
    port: {type: integer}
    tags: {type: array, items: {type: string}}
    net: {type: object, properties: {mac: {type: string}, mtu: {type: integer}}}
    any: {}
"""


@pytest.fixture
def lmaps(tmp_path: Path) -> Iterator[InProcess]:
    with InProcess(tmp_path, UNIT) as made:
        yield made


def texts(**values: str) -> list[dict[str, str]]:
    return [{"path": "/" + name.replace("_", "/"), "text": text} for name, text in values.items()]


def given(lmaps: InProcess) -> Any:
    return [row["given"] for row in lmaps.call("show", unit="t", instances=True).extra["instances"]]


def test_create_reads_texts_by_the_types_of_the_unit(lmaps: InProcess) -> None:
    sent = texts(k="7", port="80", tags="[a, b]", net_mac="00", net_mtu="9000", any="1")
    lmaps.call("create", unit="t", instances=[{}], texts=sent)
    assert given(lmaps) == [
        {"k": "7", "port": 80, "tags": ["a", "b"], "net": {"mac": "00", "mtu": 9000}, "any": 1},
    ]  # fmt: skip


def test_create_sets_them_in_every_document(lmaps: InProcess) -> None:
    lmaps.call("create", unit="t", instances=[{"k": "a"}, {"k": "b", "port": 1}], texts=texts(port="2"))
    assert given(lmaps) == [{"k": "a", "port": 2}, {"k": "b", "port": 2}]


def test_set_reads_texts_beside_values(lmaps: InProcess) -> None:
    lmaps.call("create", unit="t", instances=[{"k": "a", "port": 1, "any": 2}])
    values = [{"path": "/net", "value": {"mac": "00"}}]
    lmaps.call("set", unit="t", id="a", set=values, unset=["/any"], texts=texts(port="8", net_mtu="9"))
    assert given(lmaps) == [{"k": "a", "port": 8, "net": {"mac": "00", "mtu": 9}}]
    lmaps.call("set", unit="t", id="b", texts=texts(port="8"))
    assert given(lmaps)[1] == {"k": "b", "port": 8}


def test_what_cannot_be_read_or_does_not_fit_is_refused(lmaps: InProcess) -> None:
    def create(**values: str) -> None:
        lmaps.call("create", unit="t", instances=[{"k": "a"}], texts=texts(**values))

    with pytest.raises(UsageError, match="cannot read the text for net.mtu as YAML: "):
        create(net_mtu="[oops")
    with pytest.raises(
        MessageRefused, match="cannot create in t: nothing can be set at or below /port of the document"
    ):
        create(port="1", port_x="2")
    with pytest.raises(ValidationFailed) as refused:
        create(port="many", prt="1")
    assert sorted(finding.path for finding in refused.value.errors) == ["$.port", "$.prt"]
    assert given(lmaps) == []


def test_a_text_keeps_to_the_limits_of_a_request(lmaps: InProcess) -> None:
    config = lmaps.service.config
    importing = replace(config.limits.import_, values=100)
    lmaps.service.config = replace(config, limits=replace(config.limits, import_=importing))
    for text in ("[" * 40 + "]" * 40, f"[{'1, ' * 100}1]"):
        with pytest.raises(TooLarge):
            lmaps.call("create", unit="t", instances=[{"k": "a"}], texts=texts(any=text))


NAMES = ["a\x00", "\n", "a\x1b[2J", "a\x7f", "\x9b", "a\u2028b", "\u202ea", "a\u2066"]
"""IDs that no instance may get."""
WAYS: dict[str, dict[str, Any]] = {
    "create": {"instances": [{"k": "fine"}, {"k": "NAME"}]},
    "set": {"id": "NAME", "set": [{"path": "/port", "value": 1}]},
    "import": {"units": [{"unit": "t", "instances": [{"k": "fine"}, {"k": "NAME"}]}]},
    "migrate": {"current": [{"k": "fine"}], "undone": [{"k": "NAME"}]},
    "apply": {"instances": [{"k": "fine"}, {"k": "NAME"}]},
    "validate": {"instances": [{"k": "fine"}, {"k": "NAME"}]},
    "plan": {"instances": [{"k": "fine"}, {"k": "NAME"}]},
}
"""The requests by which a document comes in."""


@pytest.mark.parametrize("verb", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_an_id_with_control_characters_is_refused_with_its_place(lmaps: InProcess, verb: str, name: str) -> None:
    request = json.loads(json.dumps(WAYS[verb]).replace('"NAME"', json.dumps(name)))
    with pytest.raises(ValidationFailed) as refused:
        lmaps.call(verb, **request | ({} if verb == "import" else {"unit": "t"}))
    [finding] = refused.value.errors
    assert (finding.path, finding.document) == ("$.k", 0 if verb == "set" else 1)
    assert finding.message.startswith("an ID takes no control characters: this one has U+")
    assert given(lmaps) == []


def test_an_id_may_have_letters_of_every_script_and_their_joiners(lmaps: InProcess) -> None:
    names = ["grüße", "日本", "👩\u200d💻", "क्\u200dष", "a\\x1b", "a\u00adb"]
    lmaps.call("create", unit="t", instances=[{"k": name} for name in names])
    assert [row["k"] for row in given(lmaps)] == names


def store_old(lmaps: InProcess, *names: str) -> None:
    """Store instances as an lMaPS stored them that did not look at their IDs."""
    unit = lmaps.service.units.units["t"]
    with lmaps.store.transaction() as tx:
        number = tx.instances.definition(unit.name, unit.digest, unit.text)
        texts = [json.dumps({"k": name, "port": 1}) for name in names]
        edits = [
            Edit(None, Document(name, text, text, number, secret=False))
            for name, text in zip(names, texts, strict=True)
        ]
        tx.changesets.record("t", ChangesetKind.CREATE, Origin("me"), edits, None)


def test_old_ids_with_control_characters_stay_readable(lmaps: InProcess) -> None:
    store_old(lmaps, *NAMES)
    everything = given(lmaps)
    assert [row["k"] for row in everything] == NAMES
    for name in NAMES:
        [row] = lmaps.call("show", unit="t", ids=[name], instances=True).extra["instances"]
        assert row["given"] == {"k": name, "port": 1}
        assert lmaps.call("blame", unit="t", ids=[name]).extra["values"]
        with pytest.raises(ValidationFailed) as refused:
            lmaps.call("set", unit="t", id=name, set=[{"path": "/port", "value": 2}])
        assert refused.value.errors[0].message.startswith("an ID takes no control characters")
        lmaps.call("delete", unit="t", ids=[name])
    assert given(lmaps) == []
    lmaps.call("rollback", unit="t", steps=len(NAMES))
    assert given(lmaps) == everything
    lmaps.call("redo", unit="t", steps=3)
    lmaps.call("revert", unit="t", revision="r2")
    assert len(given(lmaps)) == len(NAMES) - 2
    lmaps.call("rollback", unit="t", to="r1")
    assert [row["id"] for row in lmaps.call("diff", unit="t", **{"from": "r3", "to": "r1"}).extra["diff"]] == NAMES[:2]
    [exported] = lmaps.call("export").extra["units"]
    assert exported["instances"] == everything


def test_a_history_moves_with_its_old_ids(lmaps: InProcess, tmp_path: Path) -> None:
    store_old(lmaps, *NAMES)
    exported = lmaps.call("export", history=True).extra["units"]
    units = [{name: unit[name] for name in ("unit", "definitions", "history")} for unit in exported]
    with InProcess(tmp_path / "other", UNIT) as other:
        other.call("import_history", units=units)
        assert [row["k"] for row in given(other)] == NAMES
