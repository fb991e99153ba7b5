"""A real worker in a process of its own, with this test as its manager."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmaps.config.load import load_config
from lmaps.model.units import load_units
from lmaps.protocol.work import (
    Ack,
    Done,
    Hello,
    Lines,
    ManagerMessage,
    More,
    Part,
    Result,
    Run,
    Stop,
    decode,
    encode,
)
from lmaps.transport.bind import bind_sockets
from lmaps.transport.server import ServerSocket
from lmaps.transport.zap import WORKER_DOMAIN, ZapAuthenticator
from lmaps.util.heartbeat import MAX_MESSAGE_BYTES, channel_pair
from tests.daemons import is_alive, until

UNIT = """\
meta: {name: talk, primary_key: id}
handler: {type: command, args: {argv: [sh, -c, 'echo one; while [ ! -e go ]; do sleep 0.02; done; echo two; sleep 600 & wait']}}
params: {type: object, required: [id], properties: {id: {type: string}}}
"""

TELL = """\
meta: {name: tell, primary_key: id, data_type: YamlList}
handler: {type: command, args: {argv: [cat]}}
params: {type: object, required: [id], properties: {id: {type: string}}}
"""

TELL_SLOWLY = """\
meta: {name: slow, primary_key: id}
handler: {type: slow}
params: {type: object, required: [id], properties: {id: {type: string}}}
"""

SLOW = """\
from pathlib import Path
from lmaps.process import Program
from lmaps.handlers.base import State, UnitHandler


class Slow(UnitHandler):
    \"\"\"Prepares its job until there is a file.\"\"\"

    type = "slow"

    def program(self, state: State, folder: Path) -> Program:
        while not (self.unit.directory / "go").exists():
            list(state.pairs())
        return Program(("true",))
"""

RAISE = """\
meta: {name: raise, primary_key: id}
handler: {type: raise}
params: {type: object, required: [id], properties: {id: {type: string}, secret: {writeOnly: true}}}
"""

RAISING = """\
import sys
from lmaps.errors import HandlerFailed
from lmaps.handlers.base import UnitHandler


class Mute(Exception):
    def __str__(self):
        raise ValueError("mute")


class Raise(UnitHandler):
    \"\"\"Fails as its instance says.\"\"\"

    type = "raise"

    def program(self, state, folder):
        how, secret = state.completed[0]["id"], state.completed[0]["secret"]
        if how == "an error of lMaPS":
            raise HandlerFailed(f"cannot use {secret}") from ValueError(secret)
        if how == "an error of Python":
            raise ValueError(secret)
        if how == "an exit":
            sys.exit(f"because of {secret}")
        if how == "no text":
            raise Mute
        if how == "no UTF-8":
            raise ValueError("\\udcff")
        if how == "much text":
            raise ValueError("x" * 10**6)
        return secret
"""
RAISED = {
    "an error of lMaPS": "cannot use (secret)",
    "an error of Python": "ValueError: (secret)",
    "an exit": "SystemExit: because of (secret)",
    "no text": "lmaps_plugins.raising.Mute: <exception str() failed>",
    "no UTF-8": "ValueError: ?",
    "much text": "ValueError: x",
    "no program": "AttributeError",
}

DEEP = """\
meta: {name: deep, primary_key: id}
handler:
  type: command
  args: {argv: [python3, -c, "import os\\nfor _ in range(1500): os.mkdir('d'); os.chdir('d')"]}
params: {type: object, required: [id], properties: {id: {type: string}}}
"""

WORKER = """
import socket, sys
from lmaps.config.load import load_config
from lmaps.util.heartbeat import SupervisorChannel
from lmaps.worker.worker import Worker
config = load_config(sys.argv[1])
Worker(config.rpc.worker_bind, config, 1, SupervisorChannel(socket.socket(fileno=0))).start()
"""


def rows(*ids: str) -> dict[str, Any]:
    return {name: [{"id": each} for each in ids] for name in ("given", "completed")}


class AsManager:
    """The manager's end, by hand."""

    def __init__(self, directory: Path) -> None:
        (directory / "units.d").mkdir()
        units = {"talk": UNIT, "tell": TELL, "slow": TELL_SLOWLY, "raise": RAISE, "deep": DEEP}
        for name, text in units.items():
            (directory / "units.d" / f"{name}.yaml").write_text(text)
        (directory / "plugins").mkdir()
        (directory / "plugins" / "slow.py").write_text(SLOW)
        (directory / "plugins" / "raising.py").write_text(RAISING)
        (directory / "lmaps.yaml").write_text(
            "rpc: {worker_bind: ipc://w.sock}\ndb: lmaps.db\nplugin_dirs: [plugins]\n"
        )
        self.config = load_config(str(directory / "lmaps.yaml"))
        self.uri = self.config.rpc.worker_bind
        self.directory = directory
        self.gate = ZapAuthenticator()
        self.listener = ServerSocket(self.gate, WORKER_DOMAIN, bind_sockets([self.uri]))
        self.listener.listen()
        self.identity = b""
        self.line, theirs = channel_pair()
        self.line.settimeout(10)
        with (directory / "log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", WORKER, str(directory / "lmaps.yaml")],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        theirs.close()

    def hear(self, kind: type) -> Any:
        def find() -> Any:
            incoming = self.listener.receive()
            if incoming is None:
                self.gate.answer()
                return None
            self.identity = incoming.identity
            message = decode(incoming.body)
            return message if isinstance(message, kind) else None

        return until(find)

    def say(self, message: ManagerMessage) -> None:
        self.listener.send(self.identity, encode(message))

    def restart(self) -> None:
        """As a killed manager that is replaced: the connection is lost, and made anew."""
        self.listener.close()
        self.listener = ServerSocket(self.gate, WORKER_DOMAIN, bind_sockets([self.uri]))
        self.listener.listen()

    def apply(self, name: str = "talk", last: int | None = None, **state: Any) -> None:
        unit = load_units(self.config).units[name]
        self.say(Run("t1", "apply", last=last, kwargs={
            "unit": name, "digest": unit.digest, "revision": 1, "job": 5, **rows("a"), **state,
        }))  # fmt: skip

    @property
    def folder(self) -> Path:
        return self.directory / "jobs" / "1" / "5"

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.line.close()
        self.listener.close()
        self.gate.close()


@pytest.fixture
def manager(short_path: Path) -> Iterator[AsManager]:
    made = AsManager(short_path)
    yield made
    made.close()


def test_a_worker_says_hello_and_runs_a_task(manager: AsManager) -> None:
    hello = manager.hear(Hello)
    assert (hello.slot, hello.pid, hello.token) == (1, manager.process.pid, None)
    assert hello.handlers["noop"]["preview"] == "full"
    assert json.loads(manager.line.recv(MAX_MESSAGE_BYTES)) == {"beat": True}
    manager.say(Run("t", "no_work"))
    assert manager.hear(Result) == Result("t", "succeeded", value={})
    manager.say(Done("t"))
    manager.say(Run("t2", "validate_instance", ["talk", {"id": 7}]))
    failed = manager.hear(Result)
    assert (failed.state, failed.code) == ("failed", "invalid")


def test_what_is_not_acknowledged_is_said_again(manager: AsManager) -> None:
    manager.hear(Hello)
    manager.apply()
    lines = manager.hear(Lines)
    assert (lines.first, [line["text"] for line in lines.lines]) == (1, ["one"])
    manager.restart()
    assert manager.hear(Hello).token == "t1"
    assert manager.hear(Lines).lines == lines.lines
    manager.say(Ack("t1", 1))
    (manager.folder / "go").touch()
    following = manager.hear(Lines)
    assert (following.first, following.lines[0]["text"]) == (2, "two")
    os.kill(manager.process.pid, signal.SIGTERM)
    result = manager.hear(Result)
    assert (result.state, result.token) == ("interrupted", "t1")
    manager.say(Done("t1"))
    assert manager.process.wait(10) == 0
    assert not manager.folder.exists()


def test_a_state_that_comes_in_parts_is_whole_before_its_job_begins(manager: AsManager) -> None:
    manager.hear(Hello)
    manager.apply("tell", last=1)
    assert manager.hear(More) == More("t1", 1)
    manager.say(Part("another", 1, rows("x")))
    manager.say(Part("t1", 1, rows("b", "c"), last=3))
    assert manager.hear(More) == More("t1", 3)
    manager.restart()
    assert manager.hear(Hello).token == "t1"
    assert manager.hear(More) == More("t1", 3)
    manager.say(Part("t1", 1, rows("b", "c"), last=3))
    manager.say(Part("t1", 3, rows("d")))
    [line] = manager.hear(Lines).lines
    assert json.loads(line["text"]) == [{"id": "a"}, {"id": "b"}, {"id": "c"}, {"id": "d"}]
    assert manager.hear(Result).state == "succeeded"


@pytest.mark.parametrize(
    ("message", "state", "error"),
    [
        (Stop("t1"), "cancelled", "it had not begun"),
        (Part("t1", 1, error="cannot read it"), "failed", "cannot read it"),
    ],
    ids=["stopped", "unreadable"],
)
def test_a_job_does_not_begin_with_half_of_its_state(
    manager: AsManager, message: ManagerMessage, state: str, error: str
) -> None:
    manager.hear(Hello)
    manager.apply("tell", last=1)
    manager.hear(More)
    manager.say(message)
    assert manager.hear(Result) == Result("t1", state, error=error)
    manager.say(Done("t1"))
    manager.apply("tell")
    assert manager.hear(Result).state == "succeeded"


def test_a_worker_says_that_it_lives_while_it_prepares_a_job(manager: AsManager) -> None:
    manager.hear(Hello)
    manager.apply("slow")
    for _ in range(4):
        assert json.loads(manager.line.recv(MAX_MESSAGE_BYTES)) == {"beat": True}
    (manager.directory / "units.d" / "go").touch()
    assert manager.hear(Result).state == "succeeded"


@pytest.mark.parametrize("end", ["closed channel", "SIGTERM"])
def test_a_worker_ends_its_tool_before_it_leaves(manager: AsManager, end: str) -> None:
    manager.hear(Hello)
    manager.apply()
    manager.hear(Lines)
    tools = until(lambda: _children(manager.process.pid))
    if end == "SIGTERM":
        os.kill(manager.process.pid, signal.SIGTERM)
    else:
        manager.line.close()
    assert manager.process.wait(10) == 0
    assert not any(is_alive(pid) for pid in tools)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_whatever_a_handler_raises_is_a_result_without_a_secret(manager: AsManager) -> None:
    manager.hear(Hello)
    for how, error in RAISED.items():
        state = [{"id": how, "secret": "hunter2hunter2"}]
        manager.apply("raise", given=state, completed=state)
        result = manager.hear(Result)
        assert (result.state, result.error[: len(error)], len(result.error) < 20_000) == ("failed", error, True), how
        assert "hunter2" not in result.error
        manager.say(Done("t1"))
    log = (manager.directory / "log").read_text()
    assert "the handler failed:" in log
    assert "hunter2" not in log
    assert manager.process.poll() is None


def test_folders_in_folders_end_no_worker(manager: AsManager) -> None:
    manager.hear(Hello)
    manager.apply("deep")
    assert manager.hear(Result).state == "succeeded"
    assert not manager.folder.exists()
    assert manager.process.poll() is None
