"""Masked documents that come back, by every endpoint that takes documents."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps.errors import LmapsError, ValidationFailed
from tests.in_process import InProcess

UNIT = """\
meta: {name: db, primary_key: id}
handler: {type: noop}
params:
  type: object
  required: [id]
  properties:
    id: {type: string}
    port: {type: integer, default: 1}
    password: {type: string, writeOnly: true}
    token: {writeOnly: true}
    users:
      type: array
      items:
        type: object
        properties:
          name: {type: string}
          shell: {type: string, default: sh}
          password: {type: string, x-lmaps-secret: true}
    tls: {type: object, properties: {key: {type: string, writeOnly: true}}}
---
meta: {name: loose}
handler: {type: noop}
params: {type: object, properties: {name: {type: string}, password: {type: string, writeOnly: true}}}
---
meta: {name: keyed, primary_key: id}
handler: {type: noop}
params:
  type: object
  properties: {id: {type: string, default: main}, password: {type: string, writeOnly: true}}
---
meta: {name: numbered, primary_key: id}
handler: {type: noop}
params:
  type: object
  required: [id]
  properties: {id: {type: integer}, password: {type: string, writeOnly: true}}
"""
MASK = {"$secret": "set"}
USERS = [{"name": name, "password": f"of-{name}"} for name in ("ann", "bob", "cid")]
DOCUMENT = {"id": "a", "password": "top", "users": USERS, "tls": {"key": "inner"}}


@pytest.fixture
def lmaps(tmp_path: Path) -> Iterator[InProcess]:
    with InProcess(tmp_path, UNIT) as made:
        made.call("create", unit="db", instances=[DOCUMENT])
        yield made


def revealed(lmaps: InProcess, unit: str = "db") -> Any:
    [row] = lmaps.call("show", unit=unit, instances=True, reveal=True).extra["instances"]
    return row["given"]


def shown(lmaps: InProcess, form: str) -> Any:
    """Return the masked document, as given (what is exported) or completed (what is shown)."""
    [row] = lmaps.call("show", unit="db", instances=True).extra["instances"]
    return copy.deepcopy(row[form])


def set_(lmaps: InProcess, document: Any) -> None:
    lmaps.call("set", unit="db", id="a", instance=document)


def import_(lmaps: InProcess, *documents: Any, unit: str = "db") -> None:
    lmaps.call("import", units=[{"unit": unit, "instances": list(documents)}])


@pytest.mark.parametrize("form", ["given", "completed"])
@pytest.mark.parametrize("send", [set_, import_])
def test_users_keep_their_own_passwords(lmaps: InProcess, send: Any, form: str) -> None:
    document = shown(lmaps, form)
    send(lmaps, document)
    assert {user["name"]: user["password"] for user in revealed(lmaps)["users"]} == {
        "ann": "of-ann", "bob": "of-bob", "cid": "of-cid",
    }  # fmt: skip
    document["port"] = 2
    del document["users"][0]
    document["users"].reverse()
    send(lmaps, document)
    now = revealed(lmaps)
    assert (now["port"], now["password"], now["tls"]) == (2, "top", {"key": "inner"})
    assert [(user["name"], user["password"]) for user in now["users"]] == [("cid", "of-cid"), ("bob", "of-bob")]


@pytest.mark.parametrize("send", [set_, import_])
def test_what_is_uncertain_is_refused_with_its_place(lmaps: InProcess, send: Any) -> None:
    document = shown(lmaps, "given")
    document["users"][1]["name"] = "bert"
    with pytest.raises(ValidationFailed) as refused:
        send(lmaps, document)
    [finding] = refused.value.errors
    assert finding.path == "$.users[1].password"
    assert finding.message == (
        "this is the mask of a secret: give the secret itself; in a list it stands for the stored secret only of an "
        "item whose other content is as it was and unique"
    )
    assert revealed(lmaps) == DOCUMENT
    document["users"][1]["password"] = "new"
    send(lmaps, document)
    assert [user["password"] for user in revealed(lmaps)["users"]] == ["of-ann", "new", "of-cid"]


def mask_at(*path: str, value: object = MASK) -> list[dict[str, object]]:
    return [{"path": "/" + "/".join(path), "value": value}]


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        ("create", {"instances": [{"id": "b", "password": MASK}]}),
        ("create", {"instances": [{"id": "a", "password": MASK}]}),
        ("create", {"instances": [{"id": "b", "token": {"in": MASK}}]}),
        ("create", {"instances": [{"id": "b", "renamed": MASK}]}),
        ("create", {"instances": [{"id": "b"}], "texts": [{"path": "/password", "text": '{"$secret": "set"}'}]}),
        ("validate", {"instances": [{"id": "b", "password": MASK}]}),
        ("set", {"id": "a", "set": mask_at("password")}),
        ("set", {"id": "a", "set": mask_at("token", value={"$secret": "changed"})}),
        ("set", {"id": "a", "set": mask_at("users", "0", "password")}),
        ("set", {"id": "a", "texts": [{"path": "/password", "text": '{"$secret":"set"}'}]}),
        ("set", {"id": "a", "texts": [{"path": "/token", "text": "{$secret: set}"}]}),
        ("set", {"id": "b", "instance": {"password": MASK}}),
        ("migrate", {"current": [{"id": "b", "password": MASK}]}),
    ],
)
def test_a_mask_for_nothing_is_refused(lmaps: InProcess, verb: str, args: Any) -> None:
    with pytest.raises(ValidationFailed) as refused:
        lmaps.call(verb, unit="db", **args)
    assert "this is the mask of a secret: give the secret itself" in refused.value.errors[0].message
    assert revealed(lmaps) == DOCUMENT


def test_a_renamed_or_moved_property_takes_no_mask_along(lmaps: InProcess) -> None:
    document = shown(lmaps, "given")
    document["renamed"] = document.pop("tls")
    with pytest.raises(ValidationFailed) as refused:
        set_(lmaps, document)
    assert [finding.path for finding in refused.value.errors] == ["$.renamed.key"]


def test_a_document_under_another_key_gets_nothing_of_the_first(lmaps: InProcess) -> None:
    with pytest.raises(ValidationFailed):
        import_(lmaps, shown(lmaps, "given") | {"id": "b"})
    lmaps.call("create", unit="db", instances=[{"id": "b", "password": "bs"}])
    import_(lmaps, {"id": "b", "password": MASK, "port": 3})
    rows = lmaps.call("show", unit="db", instances=True, reveal=True).extra["instances"]
    assert [row["given"]["password"] for row in rows] == ["top", "bs"]
    lmaps.call("delete", unit="db", ids=["a"])
    lmaps.call("create", unit="db", instances=[{"id": "a", "password": "later"}])
    import_(lmaps, {"id": "a", "password": MASK, "port": 3})
    assert json.dumps("later") in json.dumps(lmaps.call("show", unit="db", reveal=True).extra)


def test_without_a_primary_key_only_set_says_whose_a_mask_is(lmaps: InProcess) -> None:
    reply = lmaps.call("create", unit="loose", instances=[{"name": "x", "password": "secret"}])
    masked = {"name": "x", "password": MASK}
    with pytest.raises(ValidationFailed):
        import_(lmaps, masked, unit="loose")
    lmaps.call("set", unit="loose", id=reply.extra["instances"][0]["id"], instance=masked | {"name": "y"})
    assert revealed(lmaps, "loose") == {"name": "y", "password": "secret"}


def test_a_key_that_comes_from_a_default_is_no_text_of_none(lmaps: InProcess) -> None:
    lmaps.call("create", unit="keyed", instances=[{"id": "None", "password": "of-none"}])
    for key in ({}, {"id": None}):
        with pytest.raises(LmapsError):
            import_(lmaps, {"password": MASK, **key}, unit="keyed")
    assert revealed(lmaps, "keyed") == {"id": "None", "password": "of-none"}


def test_a_key_that_comes_from_a_default(lmaps: InProcess) -> None:
    lmaps.call("create", unit="keyed", instances=[{"password": "of-main"}])
    import_(lmaps, {"password": MASK, "more": 1}, unit="keyed")
    assert revealed(lmaps, "keyed") == {"id": "main", "password": "of-main", "more": 1}
    import_(lmaps, {"password": "new"}, unit="keyed")
    assert revealed(lmaps, "keyed") == {"password": "new"}


def test_a_key_that_is_a_number(lmaps: InProcess) -> None:
    lmaps.call("create", unit="numbered", instances=[{"id": 1, "password": "of-one"}])
    import_(lmaps, {"id": 1.0, "password": MASK}, unit="numbered")
    assert revealed(lmaps, "numbered")["password"] == "of-one"
    for key in (True, "1", 1.5):
        with pytest.raises(ValidationFailed):
            import_(lmaps, {"id": key, "password": MASK}, unit="numbered")


@pytest.mark.parametrize("send", [set_, import_])
def test_what_an_older_text_of_the_unit_marks_is_put_back_too(lmaps: InProcess, send: Any) -> None:
    older = UNIT.partition("---")[0]
    lmaps.load(older.replace("password: {type: string, writeOnly: true}", "password: {type: string}"))
    document = shown(lmaps, "given")
    assert document["password"] == MASK
    del document["users"][0]
    send(lmaps, document | {"port": 2})
    assert revealed(lmaps) == DOCUMENT | {"port": 2, "users": USERS[1:]}
