"""Verbs against a real daemon: what is refused leaves everything as it was."""

import json
import os
import shlex
import signal
from collections.abc import Callable

import pytest

from lmaps import Client
from lmaps.errors import AlreadyExists, RuleBroken, UnitUnusable
from lmaps.protocol.views import AuditView, DaemonStatus
from tests.daemons import WEB, RunningDaemon, until

Start = Callable[..., RunningDaemon]


def test_conflicts_leave_everything_as_it_was(start_daemon: Start) -> None:
    daemon = start_daemon(WEB)
    with Client(daemon.endpoint) as client:
        client.call("create", unit="web", instances=[{"host": "a"}])
        with pytest.raises(AlreadyExists) as refused:
            client.call(
                "create", unit="web", instances=[{"host": "b"}, {"host": "a", "port": 81}, {"host": "b", "tls": True}]
            )
        assert [finding.document for finding in refused.value.errors] == [1, 2]
        assert client.call("status").extra["revision"] == 1


def test_a_hint_that_is_copied_into_a_shell_runs_nothing_that_a_client_chose(start_daemon: Start) -> None:
    key = "$(touch /tmp/x); 'a"
    with Client(start_daemon(WEB.replace(", format: hostname", "")).endpoint) as client:
        client.call("create", unit="web", instances=[{"host": key}])
        with pytest.raises(AlreadyExists) as refused:
            client.call("create", unit="web", instances=[{"host": key, "port": 81}])
        assert shlex.split(refused.value.hint or "")[-4:] == ["lmaps", "set", "web", key]
        with pytest.raises(RuleBroken) as broken:
            client.call("set", unit="web", id=key, set=[{"path": "/host", "value": "b"}])
        assert shlex.split(broken.value.hint or "")[-8:-4] == ["lmaps", "delete", "web", key]


def test_status_and_audit_answer_the_fields_of_their_views(start_daemon: Start) -> None:
    with Client(start_daemon(WEB, workers=1).endpoint) as client:
        client.call("create", unit="web", instances=[{"host": "a"}])
        status = client.call("status").extra
        assert json.dumps(DaemonStatus.from_json(status).to_json()) == json.dumps(status)
        [row] = client.call("audit").extra["audit"]
        assert json.dumps(AuditView.from_json(row).to_json()) == json.dumps(row)


def test_an_orphaned_unit_can_be_looked_at_and_rolled_back(start_daemon: Start) -> None:
    daemon = start_daemon(WEB)
    with Client(daemon.endpoint) as client:
        client.call("create", unit="web", instances=[{"host": "a"}])
        (daemon.unit_dir / "unit0.yaml").unlink()
        client.call("reload")
        [row] = client.call("units").extra["units"]
        assert (row["unit"], row["condition"]) == ("web", "orphaned")
        assert client.call("show", unit="web").extra["state"] == {"vhosts": [{"host": "a", "port": 80, "tls": False}]}
        assert client.call("export").extra["units"][0]["instances"] == [{"host": "a"}]
        for verb, args in (("create", {"instances": [{"host": "b"}]}), ("apply", {})):
            with pytest.raises(UnitUnusable, match="its unit file is gone"):
                client.call(verb, unit="web", **args)
        assert client.call("rollback", unit="web").revision == 2


def test_stored_instances_that_no_longer_fit_make_a_unit_invalid(start_daemon: Start) -> None:
    daemon = start_daemon(WEB)
    with Client(daemon.endpoint) as client:
        client.call("create", unit="web", instances=[{"host": "a", "port": 8080}])
        (daemon.unit_dir / "unit0.yaml").write_text(WEB.replace("maximum: 65535", "maximum: 1023"))
        client.call("reload")
        assert client.call("units").extra["units"][0]["condition"] == "invalid"
        with pytest.raises(UnitUnusable, match="no longer fit"):
            client.call("apply", unit="web")


def test_a_broken_handler_breaks_its_units_alone(start_daemon: Start) -> None:
    broken = "meta: {name: broken}\nhandler: {type: nothing}\n---\nmeta: {name: args}\nhandler: {type: command, args: {argv: x}}\n"
    daemon = start_daemon(WEB + "---\n" + broken)
    with Client(daemon.endpoint) as client:
        conditions = {row["unit"]: row["condition"] for row in client.call("units").extra["units"]}
        assert conditions == {"web": "in sync", "broken": "broken", "args": "broken"}
        with pytest.raises(UnitUnusable) as refused:
            client.call("create", unit="args", instances=[{}])
        assert refused.value.errors[0].place.endswith("unit2.yaml:2:39")


def test_what_a_handler_has_found_stays_when_a_worker_is_replaced(start_daemon: Start) -> None:
    daemon = start_daemon("meta: {name: gone}\nhandler: {type: command, args: {argv: [./gone]}}\n", workers=1)
    with Client(daemon.endpoint) as client:
        assert client.call("units").extra["units"][0]["condition"] == "broken"
        first = daemon.pid_of("worker 1") or 0
        os.kill(first, signal.SIGKILL)
        until(lambda: [each for each in client.call("status").extra["workers"] if each["pid"] not in (None, first)])
        assert client.call("units").extra["units"][0]["condition"] == "broken"
        (daemon.unit_dir / "gone").write_text("#!/bin/sh\n")
        client.call("reload")
        until(lambda: client.call("units").extra["units"][0]["condition"] == "in sync")
