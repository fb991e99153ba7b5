"""The policy of a real daemon: loaded at its start and at each reload, asked about, and read without a daemon."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from lmaps import Client
from lmaps.errors import NotAllowed, ValidationFailed
from tests.daemons import WEB, RunningDaemon, until

Start = Callable[..., RunningDaemon]
ME = os.getuid()
OTHER = "meta: {name: other}\n"


def write(daemon: RunningDaemon, text: str) -> None:
    (daemon.directory.parent / "policy.yaml").write_text(text)


def line(rights: str, units: str = "'*'", subject: str = f"uid:{ME}") -> str:
    return f"- {{subjects: '{subject}', rights: {rights}, units: {units}}}\n"


@pytest.fixture
def daemon(start_daemon: Start, short_path: Path) -> RunningDaemon:
    """Serves with a policy that grants what the built-in lines do."""
    (short_path / "policy.yaml").touch()
    return start_daemon(f"{WEB}---\n{OTHER}", policy="../policy.yaml")


def test_a_policy_that_cannot_be_used_ends_the_start(start_daemon: Start) -> None:
    daemon = start_daemon(WEB, wait=False, policy="../policy.yaml")
    assert daemon.process.wait(20) == 78
    assert "policy.yaml: No such file" in daemon.output()
    write(daemon, "- {subjects: 'uid:0', rights: [lst], units: web}\n- {rights: all, units: 7}\n")
    daemon.start()
    assert daemon.process.wait(20) == 78
    for words in ("policy.yaml:1:32", "did you mean list?", "policy.yaml:2:3", "subjects is missing", "2:24"):
        assert words in daemon.output()
    assert "Traceback" not in daemon.output()


def test_a_reload_takes_the_whole_policy_or_keeps_the_old_one(daemon: RunningDaemon) -> None:
    with Client(daemon.endpoint) as client:
        write(daemon, line("[list, show, admin]"))
        client.call("reload")
        with pytest.raises(NotAllowed, match="has no right create on web"):
            client.call("create", unit="web", instances=[{"host": "a"}])
        write(daemon, line("[list, everything]") + line("all", "[web, a b]"))
        with pytest.raises(ValidationFailed, match="in use stay") as refused:
            client.call("reload")
        assert [finding.line for finding in refused.value.errors] == [1, 2]
        with pytest.raises(NotAllowed):
            client.call("create", unit="web", instances=[{"host": "a"}])
        write(daemon, "")
        os.kill(daemon.process.pid, signal.SIGHUP)
        until(lambda: client.call("may", who=f"uid:{ME}", do="create", on="web").extra["allowed"])
        client.call("create", unit="web", instances=[{"host": "a"}])


def test_who_may_what_is_told_with_the_line_that_decides(daemon: RunningDaemon) -> None:
    write(daemon, line("[list, show]", "'w*'", "gid:1234567") + line("none", "web", "key:f00"))
    assert daemon.lmaps("reload").returncode == 0
    place = f"{daemon.directory}/../policy.yaml"
    for asked, code, words in (
        (("gid:1234567", "history", "web"), 0, f"allowed by {place}:1: gid:1234567 may list, show on w*"),
        (("gid:1234567", "set", "web"), 1, f"denied by {place}:1: gid:1234567 may list, show on w*"),
        (("gid:1234567", "list", "other"), 1, "denied: no line matches"),
        (("key:f00", "list", "web"), 1, f"denied by {place}:2: key:f00 may none on web"),
        ((f"uid:{ME}", "reload", "*"), 0, "allowed by the built-in line: uid:0"),
    ):
        told = daemon.lmaps("doctor", "--may", *asked)
        assert told.returncode == code, told
        assert words in told.stdout, told
    assert daemon.data("doctor", "--may", f"uid:{ME}", "apply", "web")["allowed"] is True
    assert "did you mean apply?" in daemon.lmaps("doctor", "--may", "root", "aply", "web").stderr
    assert daemon.lmaps("doctor", "--may", "no-such-user", "apply", "web").returncode == 4
    daemon.end()
    told = daemon.lmaps("--timeout", "1s", "doctor", "--may", "gid:1234567", "set", "web")
    assert (told.returncode, "no daemon runs" in told.stderr) == (1, True), told
    assert f"denied by {place}:1" in told.stdout


def test_about_oneself_everybody_may_ask(daemon: RunningDaemon) -> None:
    write(daemon, line("none"))
    assert daemon.lmaps("reload").returncode == 0
    assert daemon.lmaps("units").returncode == 8
    told = daemon.lmaps("show", "web")
    assert told.returncode == 8
    assert f"lmaps doctor --may uid:{ME} show web" in told.stderr
    assert daemon.lmaps("doctor", "--may", f"uid:{ME}", "show", "web").returncode == 1
    assert daemon.lmaps("doctor", "--may", "gid:7", "show", "web").returncode == 8
