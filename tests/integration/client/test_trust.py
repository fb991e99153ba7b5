"""Whom the client sends its documents to: the daemon of its own user, of root, or the one that the caller names."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from lmaps import Client
from lmaps.errors import NotAllowed, OutcomeUnknown
from tests.daemons import BIN, until

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")

NOBODY = 65534
CANARY = "canary-of-the-caller"
CREATE = ("create", "web", "--set", f"password={CANARY}", "--timeout", "3s")


@contextlib.contextmanager
def stranger(path: Path) -> Iterator[int]:
    """Another user's server at ``path``; what it receives comes out of the descriptor."""
    received, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            server = zmq.Context().socket(zmq.ROUTER)
            server.bind(f"ipc://{path}")
            os.write(writing, b"ready\n")
            while True:
                os.write(writing, b"".join(server.recv_multipart()[1:]))
        finally:
            os._exit(1)
    os.close(writing)
    try:
        assert os.read(received, 100) == b"ready\n"
        os.set_blocking(received, False)
        yield received
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(received)


@pytest.fixture
def shared(short_path: Path) -> Path:
    """A directory such as /tmp, where every user may make files."""
    short_path.parent.chmod(0o711)
    short_path.chmod(0o1777)
    return short_path


def read(received: int) -> str:
    try:
        return os.read(received, 100_000).decode()
    except BlockingIOError:
        return ""


def expect(received: int, text: str) -> None:
    """The server gets the text, be it late: it has a processor to wait for."""
    got = ""

    def comes() -> bool:
        nonlocal got
        got += read(received)
        return text in got

    until(comes, within=20)


def lmaps(*args: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("LMAPS_")} | environ
    return subprocess.run(
        [BIN / "lmaps", *args], cwd=cwd, env=env, capture_output=True, text=True, timeout=30, check=False
    )


def test_a_found_configuration_of_somebody_else_is_not_used(shared: Path) -> None:
    file, socket = shared / "lmaps.yaml", shared / "s.sock"
    file.write_text(f"rpc: {{manager_bind: ipc://{socket}}}\n")
    os.chown(file, NOBODY, NOBODY)
    with stranger(socket) as received:
        done = lmaps(*CREATE, cwd=shared)
        assert done.returncode == 9
        assert f"{file} is not used: {file} belongs to nobody" in done.stderr
        assert "Traceback" not in done.stderr and read(received) == ""
        named = lmaps("--config", str(file), *CREATE, cwd=shared)
        assert (named.returncode, read(received)) == (8, "")


def test_a_found_socket_of_somebody_else_gets_nothing(shared: Path) -> None:
    socket = shared / "s.sock"
    own = shared / "own"
    own.mkdir(mode=0o755)
    (own / "lmaps.yaml").write_text(f"rpc: {{manager_bind: ipc://{socket}}}\n")
    with stranger(socket) as received:
        done = lmaps(*CREATE, cwd=own)
        assert done.returncode == 8
        assert done.stderr == (
            f"cannot trust the daemon at ipc://{socket}: it is run by nobody, not by root; nothing was sent\n"
            f"  if that is right, name it: lmaps -e ipc://{socket}\n"
        )
        assert read(received) == ""
        (own / "lmaps.yaml").write_text(f"rpc: {{manager_bind: ipc://{socket}}}\nuser: nobody\n")
        assert lmaps(*CREATE, cwd=own).returncode != 8
        expect(received, CANARY)


MODULES = ("click", "json", "lmaps", "os", "sitecustomize", "yaml", "zmq", "units.d")
PUT_THERE = "import pathlib; (pathlib.Path(__file__).parent / 'executed').touch()\n"
LOOKING = {
    "status": ("status",),
    "quiet": ("-q", "status"),
    "doctor": ("doctor",),
    "policy question": ("doctor", "--may", "uid:5", "show", "*"),
    "offline": ("validate", "web", "--offline", "--set", "a=1"),
}
NOT_LOOKING = {"help": ("--help",), "script": ("completion", "bash")}
TYPED = {"lmaps ": "show", "lmaps show ": "", "lmaps --config ./l": "", "lmaps handl": "handlers"}
"""What was typed, and what is proposed at least: without a daemon no unit."""


@pytest.fixture
def hostile(shared: Path) -> Path:
    """A directory with a configuration, a policy, a unit and modules that another user has put there."""
    (shared / "lmaps.yaml").write_text(f"policy: policy.yaml\nrpc: {{manager_bind: ipc://{shared}/s.sock}}\n")
    (shared / "policy.yaml").write_text("- {subjects: 'uid:5', rights: all, units: '*'}\n")
    for name in MODULES:
        (shared / f"{name}.py").write_text(PUT_THERE)
    for path in shared.iterdir():
        os.chown(path, NOBODY, NOBODY)
    return shared


@pytest.mark.parametrize("command", LOOKING)
def test_no_command_uses_what_others_have_put_where_it_is_called(hostile: Path, command: str) -> None:
    done = lmaps(*LOOKING[command], cwd=hostile)
    assert done.stderr.count("lmaps.yaml is not used: ") == (command != "offline"), done.stderr
    assert "policy.yaml" not in done.stdout + done.stderr
    assert "yes" not in done.stdout or command != "policy question"
    assert not (hostile / "executed").exists()


@pytest.mark.parametrize("command", NOT_LOOKING)
def test_what_needs_no_configuration_looks_for_none(hostile: Path, command: str) -> None:
    done = lmaps(*NOT_LOOKING[command], cwd=hostile)
    assert (done.returncode, done.stderr, (hostile / "executed").exists()) == (0, "", False)


def test_python_itself_imports_nothing_from_there_if_it_is_told_so(hostile: Path) -> None:
    command = [sys.executable, "-P", "-m", "lmaps", "--version"]
    done = subprocess.run(command, cwd=hostile, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, (hostile / "executed").exists()) == (0, False), done.stderr


@pytest.mark.parametrize("typed", TYPED)
def test_the_tab_key_executes_nothing_and_asks_no_stranger(hostile: Path, typed: str) -> None:
    with stranger(hostile / "s.sock") as received:
        words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)}
        done = lmaps(cwd=hostile, _LMAPS_COMPLETE="bash_complete", **words)
        assert "Traceback" not in done.stderr
        assert TYPED[typed] in done.stdout
        assert (read(received), (hostile / "executed").exists()) == ("", False)


@pytest.mark.parametrize("option", [(), ("--check",)])
def test_the_daemon_does_not_start_with_what_others_have_put_there(hostile: Path, option: tuple[str, ...]) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("LMAPS_")}
    done = subprocess.run(
        [BIN / "lmapsd", *option], cwd=hostile, env=env, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 78
    assert f"cannot use the configuration {hostile}/lmaps.yaml: " in done.stderr
    assert not (hostile / "executed").exists()


@pytest.mark.parametrize("way", ["option", "environment"])
def test_whoever_names_the_socket_knows_whose_it_is(shared: Path, way: str) -> None:
    uri = f"ipc://{shared}/s.sock"
    with stranger(shared / "s.sock") as received:
        if way == "option":
            lmaps("-e", uri, *CREATE, cwd=shared)
        else:
            lmaps(*CREATE, cwd=shared, LMAPS_ENDPOINT=uri)
        expect(received, CANARY)


def test_the_python_client(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = shared / "s.sock"
    monkeypatch.setattr("lmaps.client.default_endpoint", lambda uid, environ: f"ipc://{socket}")
    with stranger(socket) as received:
        with Client(timeout=1) as found, pytest.raises(NotAllowed, match="it is run by nobody, not by root"):
            found.call("create", unit="web", instances=[{"password": CANARY}])
        assert read(received) == ""
        with Client(f"ipc://{socket}", timeout=3) as named, pytest.raises(OutcomeUnknown):
            named.call("create", unit="web", instances=[{"password": CANARY}])
        expect(received, CANARY)
