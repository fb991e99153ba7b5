"""The audit: what has a row, and what it says."""

import os
import signal

import pytest

from lmaps.api.audit_throttle import BURST
from lmaps.api.endpoints.show import Show
from lmaps.api.registry import ENDPOINTS, Endpoint
from lmaps.errors import NotAllowed, ValidationFailed
from tests.daemons import until
from tests.in_process import InProcess


@pytest.fixture
def lmaps(tmp_path):
    with InProcess(tmp_path) as made:
        yield made


def rows(lmaps, **args):
    return lmaps.call("audit", **args).extra["audit"]


def told(row):
    return {name: row[name] for name in ("verb", "unit", "revision", "outcome")}


def test_a_change_has_a_row_with_its_revision_and_key(lmaps):
    lmaps.call("create", key="k1", unit="web", instances=[{"host": "a"}], on_behalf_of="alice")
    [row] = rows(lmaps)
    assert row.pop("at")
    assert row == {
        "sequence": 1, "subject": "me", "on_behalf_of": "alice", "door": "api", "verb": "create", "unit": "web",
        "request_key": "k1", "revision": 1, "job": None, "outcome": "ok", "suppressed": 0,
    }  # fmt: skip


def test_what_changes_nothing_has_no_row(lmaps):
    create = {"unit": "web", "instances": [{"host": "a"}]}
    lmaps.call("create", key="k1", **create)
    lmaps.call("create", key="k1", **create)
    lmaps.call("create", key="k2", **create)
    lmaps.call("set", unit="web", id="a", instance={"host": "a", "port": 81}, dry_run=True)
    lmaps.call("show", unit="web")
    lmaps.call("status")
    with pytest.raises(ValidationFailed):
        lmaps.call("create", unit="web", instances=[{"host": 1}])
    assert [told(row) for row in rows(lmaps)] == [{"verb": "create", "unit": "web", "revision": 1, "outcome": "ok"}]


def test_what_reveals_and_what_an_operator_does_has_a_row(lmaps):
    lmaps.call("show", unit="web", reveal=True)
    lmaps.call("export", units=["web"], reveal=True)
    lmaps.call("backup")
    lmaps.call("reload")
    lmaps.service.copies.popitem()[1].close()
    assert [(row["verb"], row["unit"]) for row in rows(lmaps)] == [
        ("reload", None), ("backup", None), ("export", "web"), ("show", "web"),
    ]  # fmt: skip


def test_a_request_over_several_units_has_a_row_for_each(lmaps):
    lmaps.load("---\n".join(f"meta: {{name: {name}}}\nparams: {{type: object}}\n" for name in "ab"))
    units = [{"unit": name, "instances": [{"x": 1}]} for name in "ab"]
    lmaps.call("import", units=units)
    assert [(row["verb"], row["unit"]) for row in rows(lmaps)] == [("import", "b"), ("import", "a")]


def test_rows_are_found_by_unit_author_time_and_number(lmaps):
    for number in range(3):
        lmaps.call("create", unit="web", instances=[{"host": f"h{number}"}])
    lmaps.subject = lmaps.subject._replace(id="uid:7", name="bob")
    lmaps.call("create", unit="web", instances=[{"host": "last"}])
    assert [row["revision"] for row in rows(lmaps, limit=2)] == [4, 3]
    assert [row["revision"] for row in rows(lmaps, author="bob")] == [4]
    assert len(rows(lmaps, unit="web", since="-1h")) == 4
    assert rows(lmaps, unit="other") == rows(lmaps, since="2999-01-01") == []


def test_a_denial_has_a_row_and_too_many_of_a_subject_are_counted(lmaps, monkeypatch):
    def deny(_ctx, _request):
        raise NotAllowed

    monkeypatch.setitem(ENDPOINTS, "show", Endpoint("show", deny, Show, "show"))
    for _ in range(BURST + 3):
        denied(lmaps)
    kept = rows(lmaps, limit=100)
    assert len(kept) == BURST
    assert told(kept[0]) == {"verb": "show", "unit": "web", "revision": None, "outcome": "not-allowed"}
    assert (lmaps.service.counters.denied, lmaps.service.counters.audit_suppressed) == (BURST + 3, 3)
    me = lmaps.subject
    lmaps.subject = me._replace(id="uid:7", name="bob")
    denied(lmaps)
    assert rows(lmaps)[0]["subject"] == "bob"
    lmaps.subject = me
    lmaps.service.denials[me.id].left = 1
    denied(lmaps)
    assert rows(lmaps)[0]["suppressed"] == 3


def denied(lmaps):
    """Ask for what is denied, as the desk does: the answer is a refusal, and the transaction is kept."""
    from lmaps.api.registry import RequestContext
    from lmaps.protocol import Request

    with lmaps.store.transaction() as tx, pytest.raises(NotAllowed):
        ENDPOINTS["show"].answer(RequestContext(lmaps.service, tx, lmaps.subject), Request("show", {"unit": "web"}))
    assert not tx.session.wrote


def test_old_rows_go_the_oldest_first(lmaps):
    for number in range(5):
        lmaps.call("create", unit="web", instances=[{"host": f"h{number}"}])
    with lmaps.store.transaction() as tx:
        assert tx.audit.forget("2000-01-01", 10) == 0
        assert tx.audit.forget("2999-01-01", 3) == 3
    assert [row["sequence"] for row in rows(lmaps)] == [5, 4]


def test_rows_survive_a_kill_and_numbers_are_not_given_twice(start_daemon):
    daemon = start_daemon()
    assert daemon.lmaps("create", "web", "--set", "host=a").returncode == 0
    manager = daemon.pid_of("manager")
    os.kill(manager, signal.SIGKILL)
    until(lambda: daemon.pid_of("manager") not in (None, manager))
    assert daemon.lmaps("create", "web", "--set", "host=b").returncode == 0
    assert [(row["sequence"], row["verb"], row["revision"], row["door"]) for row in daemon.data("audit")] == [
        (2, "create", 2, "cli"), (1, "create", 1, "cli"),
    ]  # fmt: skip


def test_a_denied_request_is_answered_kept_and_logged(start_daemon, short_path):
    (short_path / "policy.yaml").write_text(f"- {{subjects: 'uid:{os.getuid()}', rights: [list, admin], units: '*'}}\n")
    daemon = start_daemon(policy="../policy.yaml")
    assert daemon.lmaps("create", "web", "--set", "host=a", "--key", "k1").returncode == 8
    [row] = daemon.data("audit")
    assert (row["verb"], row["unit"], row["request_key"], row["outcome"]) == ("create", "web", "k1", "not-allowed")
    assert "request denied [request=" in daemon.output()
