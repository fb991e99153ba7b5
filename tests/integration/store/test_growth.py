"""What grows with what: the database with what is changed, and no request about one instance with its unit.

The database grows by less than three times the bytes of the documents changed: given and completed, each side.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.in_process import InProcess

UNIT = """\
meta: {name: web, primary_key: host, strict: true}
params:
  type: object
  required: [host]
  properties:
    host: {type: string, format: hostname}
    port: {type: integer, default: 80}
    tls: {type: boolean, default: false}
    root: {type: string, default: /var/www}
    owner: {type: string}
    level: {enum: [low, high], default: low}
    aliases: {type: array, items: {type: string}, default: []}
    weight: {type: number, default: 1.5}
"""
COUNT = 300


def pages(lmaps: InProcess) -> int:
    return numbers(lmaps, "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")


def documents(lmaps: InProcess) -> int:
    return numbers(
        lmaps,
        "SELECT coalesce(sum(length(given) + length(completed)), 0) FROM change "
        "JOIN document ON document.id IN (before_document, after_document)",
    )


def numbers(lmaps: InProcess, statement: str) -> int:
    with lmaps.store.transaction() as tx:
        return int(tx.session.connection.exec_driver_sql(statement).scalar_one())


@pytest.mark.parametrize("size", [1, 200, 1000, 5000])
def test_less_than_three_times_what_was_changed(tmp_path: Path, size: int) -> None:
    with InProcess(tmp_path, UNIT) as lmaps:
        grown = []
        for step in ("create", "set", "rollback"):
            before = pages(lmaps), documents(lmaps)
            for number in range(COUNT):
                host = f"h{number}.example.org"
                if step == "create":
                    lmaps.call("create", unit="web", instances=[{"host": host, "owner": "m" * size}])
                elif step == "set":
                    lmaps.call("set", unit="web", id=host, set=[{"path": "/port", "value": number + 1}])
                else:
                    lmaps.call("rollback", unit="web")
            grown.append((pages(lmaps) - before[0]) / (documents(lmaps) - before[1]))
        assert max(grown) < 3, grown


ONE = {"host": "h0.example.org"}
RULED = UNIT.replace("strict: true", "strict: true, unique: [/host], max_instances: 1000, keep: {count: 3}")


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        ("create", {"instances": [{"host": "new.example.org"}]}),
        ("set", {"id": ONE["host"], "set": [{"path": "/port", "value": 7}]}),
        ("delete", {"ids": [ONE["host"]]}),
        ("show", {"ids": [ONE["host"]]}),
        ("show", {"ids": [ONE["host"]], "at": "@~1"}),
        ("blame", {"ids": [ONE["host"]]}),
        ("rollback", {}),
        ("rollback", {"to": "@~1"}),
        ("revert", {"revision": "r12"}),
        ("import", {"units": [{"unit": "web", "instances": [ONE | {"port": 7}]}]}),
        ("apply", {}),
        ("diff", {"from": "@~1"}),
        ("units", {}),
        ("status", {}),
    ],
    ids=str,
)
@pytest.mark.parametrize("unit", [UNIT, RULED], ids=["plain", "ruled"])
def test_no_request_about_one_instance_reads_the_whole_unit(
    tmp_path: Path, unit: str, verb: str, args: dict[str, Any]
) -> None:
    with InProcess(tmp_path, unit) as lmaps:
        lmaps.service.handlers = {"noop": {"args_schema": {}}}
        lmaps.call("create", unit="web", instances=[{"host": f"h{number}.example.org"} for number in range(COUNT)])
        lmaps.call("set", unit="web", id=ONE["host"], set=[{"path": "/port", "value": 9}])
        for number in range(10, 20):  # more than are kept
            lmaps.call("delete", unit="web", ids=[f"h{number}.example.org"])
        read: list[Any] = []
        driver: Any = lmaps.store._connection.connection.driver_connection
        driver.row_factory = lambda _cursor, row: read.append(row) or row
        lmaps.call(verb, **({} if verb in ("import", "units", "status") else {"unit": "web"}), **args)
        assert len(read) < COUNT / 3


@pytest.mark.parametrize(("verb", "secret"), [("plan", False), ("show", True), ("export", True)])
def test_the_manager_lives_while_it_tells_of_many(tmp_path: Path, verb: str, secret: bool) -> None:
    unit = UNIT.replace("owner: {type: string}", "owner: {type: string, writeOnly: true}") if secret else UNIT
    with InProcess(tmp_path, unit) as lmaps:
        lmaps.call("create", unit="web", instances=[{"host": f"h{number}.example.org"} for number in range(COUNT)])
        lmaps.beats = 0
        lmaps.call(verb, **({"units": ["web"]} if verb == "export" else {"unit": "web"}))
        assert lmaps.beats >= COUNT
