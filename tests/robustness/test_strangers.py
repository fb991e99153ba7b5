"""Who is not to get in any more: keys that were taken away."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lmaps import Client
from lmaps.errors import NotAllowed
from tests.daemons import WEB, RunningDaemon
from tests.remote import Remote

Start = Callable[..., RunningDaemon]
Figure = Callable[[str, str], None]
Rounds = Callable[[int, int], int]


@pytest.fixture
def remote(short_path: Path) -> Remote:
    made = Remote(short_path)
    known = made.make_client("known")
    (short_path / "policy.yaml").write_text(f"- {{subjects: 'key:{known.fingerprint}', rights: all, units: '*'}}\n")
    return made


@pytest.fixture
def daemon(remote: Remote, start_daemon: Start) -> RunningDaemon:
    return start_daemon(WEB, rpc=remote.rpc, policy="../policy.yaml")


def test_a_key_that_is_taken_away_is_refused_at_once(
    daemon: RunningDaemon, remote: Remote, rounds: Rounds, figure: Figure
) -> None:
    slowest = 0.0
    for number in range(rounds(5, 100)):
        name = f"k{number}"
        pair = remote.make_client(name)
        (remote.directory / "policy.yaml").write_text(
            f"- {{subjects: 'key:{pair.fingerprint}', rights: all, units: '*'}}\n"
        )
        with daemon.client() as near, remote.client(name) as far, remote.client(name) as idle:
            near.call("reload")
            for connection in (far, idle):
                connection.call("units")
            remote.revoke(name)
            begin = time.monotonic()
            near.call("reload")
            for connection in (far, idle):
                expect_refusal(connection, "is no longer authorized")
            slowest = max(slowest, time.monotonic() - begin)
        with remote.client(name) as anew:
            expect_refusal(anew, "does not let this key in")
    assert slowest < 1.0
    figure("T4 key revoked while connected", f"{number + 1} keys: refused within {slowest * 1000:.0f} ms")


def expect_refusal(client: Client, words: str) -> None:
    with pytest.raises(NotAllowed, match=words):
        client.call("create", unit="web", instances=[{"host": f"h{os.getpid()}"}])
