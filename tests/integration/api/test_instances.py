"""Instances whose properties are sent as text."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmaps.errors import MessageRefused, TooLarge, UsageError, ValidationFailed
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

    with pytest.raises(UsageError, match=r"cannot read net.mtu=\[oops: "):
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
