"""Ways in for a secret that no list of processes shows: a file, stdin, the terminal. With real processes and terminals."""

import fcntl
import json
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.daemons import BIN, RunningDaemon

Start = Callable[..., RunningDaemon]

CANARY = "canary 0123 äö"
UNIT = """\
meta: {name: db, primary_key: id, strict: true}
params:
  type: object
  required: [id]
  properties:
    id: {type: string}
    password: {type: string, writeOnly: true}
    pin: {type: integer, writeOnly: true}
    tls: {type: object, properties: {key: {type: string, x-lmaps-secret: true}, port: {type: integer}}}
"""
TIMEOUT_S = 30.0


class Done(NamedTuple):
    """How a command ended; ``terminal`` is what its terminal has shown, and ``echoes`` whether it does again."""

    returncode: int
    stdout: str
    stderr: str
    terminal: str
    echoes: bool


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    directory = tmp_path_factory.mktemp("d")
    daemon = RunningDaemon(directory, UNIT)
    daemon.wait_ready()
    daemon.lmaps("create", "db", "-f", "-", stdin="id: a")
    yield daemon
    daemon.end()


def run(
    daemon: RunningDaemon, *args: str, typed: str | None = None, stdin: bytes | None = b"", prompts: int = 1
) -> Done:
    """Run ``lmaps`` in a session of its own: without a terminal, or, if something is ``typed``, with one.

    ``stdin`` is what is piped in; None for the terminal. The answer is typed when the prompt is there and echo is off.
    """
    controller, terminal = pty.openpty()
    reader = os.dup(terminal) if stdin is None else subprocess.PIPE
    process = subprocess.Popen(
        [BIN / "lmaps", "--config", daemon.config_file, *args],
        stdin=reader,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=daemon.environment,
        cwd=daemon.directory,
        start_new_session=True,
        # The session gets the terminal as its own: /dev/tty.
        preexec_fn=None if typed is None else lambda: fcntl.ioctl(terminal, termios.TIOCSCTTY, 0),
    )
    shown = b""
    try:
        if process.stdin is not None:
            process.stdin.write(stdin or b"")  # less than a pipe holds
            process.stdin.close()
            process.stdin = None
        if typed is not None:
            for _ in range(prompts):
                shown += read_until(controller, b": ")
                wait_for_no_echo(controller)
                os.write(controller, typed.encode() + b"\n")
        out, err = process.communicate(timeout=TIMEOUT_S)
        while select.select([controller], [], [], 0)[0]:
            shown += os.read(controller, 4096)
        echoes = bool(termios.tcgetattr(controller)[3] & termios.ECHO)
    finally:
        process.kill()
        process.wait()
        for descriptor in (controller, terminal, *([reader] if stdin is None else [])):
            os.close(descriptor)
    return Done(process.returncode, out.decode(), err.decode(), shown.decode(), echoes)


def read_until(descriptor: int, end: bytes) -> bytes:
    data, deadline = b"", time.monotonic() + TIMEOUT_S
    while not data.endswith(end):
        assert select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0], data
        data += os.read(descriptor, 4096)
    return data


def wait_for_no_echo(descriptor: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while termios.tcgetattr(descriptor)[3] & termios.ECHO:
        assert time.monotonic() < deadline, "the terminal echoes"
        select.select([], [], [], 0.01)


def stored(daemon: RunningDaemon) -> dict[str, object]:
    [document] = daemon.data("show", "db", "a", "--reveal")
    assert isinstance(document, dict)
    return document


def set_(daemon: RunningDaemon, *args: str, stdin: bytes | None = b"", typed: str | None = None) -> Done:
    done = run(daemon, "set", "db", "a", *args, stdin=stdin, typed=typed)
    assert done.returncode == 0, done
    assert "warning" not in done.stderr
    assert CANARY not in done.stdout + done.stderr + done.terminal
    return done


def test_a_secret_comes_from_a_file_or_stdin(daemon: RunningDaemon, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(f"{CANARY}\n")
    set_(daemon, "--set", f"password=@{tmp_path}/file", "--set", "tls.key=@-", stdin=f"1 {CANARY}\r\n".encode())
    assert stored(daemon) == {"id": "a", "password": CANARY, "tls": {"key": f"1 {CANARY}"}}
    (tmp_path / "file").write_text("0123\n")
    set_(daemon, "--set", f"password=@{tmp_path}/file", "--set", "pin=@-", stdin=b"123456\n")
    assert stored(daemon) | {"tls": {}} == {"id": "a", "password": "0123", "pin": 123456, "tls": {}}
    set_(daemon, "--unset", "pin", "--set", "tls.port=2", "--set", "tls.key=@/dev/stdin", stdin=b"yes")
    assert stored(daemon) == {"id": "a", "password": "0123", "tls": {"key": "yes", "port": 2}}


@pytest.mark.parametrize("stdin", [b"", None])
def test_a_property_alone_asks_without_echo(daemon: RunningDaemon, stdin: bytes | None) -> None:
    typed = f"{CANARY} with {stdin!r}"  # another one each time
    done = set_(daemon, "--set", "password", stdin=stdin, typed=typed)
    assert done.terminal.splitlines()[0].strip() == "password:"
    assert stored(daemon)["password"] == typed


def test_documents_on_stdin_and_a_terminal_to_ask(daemon: RunningDaemon) -> None:
    set_(daemon, "-f", "-", "--set", "password", stdin=b"{id: a}", typed=CANARY)
    assert stored(daemon) == {"id": "a", "password": CANARY}


def test_without_a_terminal_it_is_said_and_nothing_is_changed(daemon: RunningDaemon) -> None:
    before = stored(daemon)
    done = run(daemon, "set", "db", "a", "--set", "password", stdin=b"canary\n")
    assert (done.returncode, done.stderr) == (
        2,
        "cannot ask for password: there is no terminal\n  --set password=@FILE reads it from a file, @- from stdin\n",
    )
    for option in ("password=@missing", "password=@."):
        done = run(daemon, "set", "db", "a", "--set", option)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done
        assert done.stderr.startswith(f"cannot read {option.partition('@')[2]}: ")
    done = run(daemon, "set", "db", "a", "-f", "-", "--set", "password=@-")
    assert (done.returncode, done.stderr) == (
        2,
        "--set password=@- and -f - do not go together: stdin can be read once\n",
    )
    assert stored(daemon) == before


def test_an_interrupt_at_the_prompt_leaves_the_terminal_as_it_was(daemon: RunningDaemon) -> None:
    done = run(daemon, "set", "db", "a", "--set", "password", typed="\x03", stdin=None)
    assert (done.returncode, done.echoes, "Traceback" in done.stderr + done.terminal) == (130, True, False), done


@pytest.mark.parametrize("form", ["table", "yaml", "json", "pretty", "dict", "name"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_secret_as_an_argument_is_warned_of(daemon: RunningDaemon, form: str, dry_run: bool) -> None:
    options = ["-o", form, *(["--dry-run"] if dry_run else [])]
    done = run(daemon, "set", "db", "a", "--set", f"tls.key={form}{dry_run}", *options)
    assert done.returncode == int(dry_run), done
    assert (
        "warning: tls.key is a secret and stood in the command line, which every user of the host can read (ps): "
        "use --set tls.key=@FILE, or --set tls.key to be asked\n"
    ) in done.stderr
    assert "warning" not in done.stdout
    if form == "json":
        json.loads(done.stdout)
    done = run(daemon, "set", "db", "a", "--set", "tls.port=3", *options)
    assert "warning" not in done.stderr
