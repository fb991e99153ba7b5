"""The client: one deadline, keys that make repeating safe, words when there is no daemon."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from lmaps import Client
from lmaps.errors import Conflict, LmapsError, MessageRefused, NotReached, OutcomeUnknown
from lmaps.protocol import MAX_BYTES, Request
from tests.daemons import WEB, Raw, RunningDaemon

Start = Callable[..., RunningDaemon]


def test_a_message_that_is_too_large_is_refused_before_it_is_sent(start_daemon: Start) -> None:
    daemon = start_daemon(WEB)
    with Client(daemon.endpoint) as client:
        with pytest.raises(MessageRefused, match=f"{MAX_BYTES:,} is the most"):
            client.call("create", unit="web", instances=[{"host": "x" * MAX_BYTES}])
        assert client.call("units").extra["units"][0]["instances"] == 0
    raw = Raw(daemon.endpoint)
    raw.socket.send_multipart([b"", b"x" * 100 * 1024 * 1024])
    assert not raw.socket.poll(500)
    raw.close()
    assert daemon.data("status")["revision"] == 0


def test_a_repeated_key_gives_the_same_answer_and_happens_once(start_daemon: Start) -> None:
    daemon = start_daemon(WEB)
    request = Request("create", {"unit": "web", "instances": [{"host": "a"}]}, key="k1")
    with Client(daemon.endpoint) as client:
        first = client.ask(request)
        again = client.ask(request)
        assert (first.extra, first.revision) == (again.extra, again.revision)
        other = client.ask(Request("create", {"unit": "web", "instances": [{"host": "b"}]}, key="k1"))
        with pytest.raises(Conflict, match="used for another request"):
            raise other.error()
        assert client.call("units").extra["units"][0]["instances"] == 1


def test_no_daemon_is_told_within_a_second_and_given_three(short_path: Any) -> None:
    told: list[float] = []
    begin = time.monotonic()
    client = Client(f"ipc://{short_path}/none.sock", on_wait=lambda _: told.append(time.monotonic()))
    with client, pytest.raises(NotReached, match="nothing was done"):
        client.call("units")
    assert told[0] - begin < 1
    assert 2.5 < time.monotonic() - begin < 5


def test_a_daemon_that_says_nothing_is_an_unknown_outcome(short_path: Any) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as silent:
        silent.linger = 0
        silent.bind(f"ipc://{short_path}/s.sock")
        with Client(f"ipc://{short_path}/s.sock", timeout=0.3) as client, pytest.raises(OutcomeUnknown) as unknown:
            client.call("units")
    assert "lmaps request" in (unknown.value.hint or "")


def test_many_clients_at_once(start_daemon: Start) -> None:
    daemon = start_daemon(WEB)
    failures: list[LmapsError] = []

    def create(first: int) -> None:
        with Client(daemon.endpoint) as client:
            for number in range(first, first + 25):
                try:
                    client.call("create", unit="web", instances=[{"host": f"h{number}"}])
                except LmapsError as error:
                    failures.append(error)

    threads = [threading.Thread(target=create, args=(100 * number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert daemon.data("status")["revision"] == 200


HEAVY = {
    "alembic", "difflib", "hmac", "importlib.metadata", "jsonschema", "logging", "pathlib", "shutil", "signal",
    "sqlalchemy", "yaml", "zmq",
}  # fmt: skip


def test_a_command_imports_only_what_it_needs(start_daemon: Start, tmp_path: Path) -> None:
    daemon = start_daemon(WEB)
    with Client(daemon.endpoint) as client:
        client.call("create", unit="web", instances=[{"host": "a"}])
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); from lmaps.cli import app as shell"
    argv = [sys.executable, "-c", f"{code}; shell.start(['--endpoint', {daemon.endpoint!r}, 'show', 'web', 'a'])"]
    (tmp_path / "lmaps.yaml").write_text("rpc:\n  manager_bind: [ipc://m.sock] # here\n  timeout: 10s\nworkers: 2\n")
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=tmp_path)
    imported = set(done.stderr.split())
    assert "host: a" in done.stdout
    assert "lmaps.transport.zmtp" in imported
    assert imported & HEAVY == set()
    assert not [name for name in imported if name.startswith(("lmaps.store", "lmaps.transport.zap"))]
