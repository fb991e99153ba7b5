"""Connections that are no clients: bytes of all kinds, slow ones, silent ones, very many. Who is a client is served."""

import contextlib
import random
import resource
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lmaps import Client
from lmaps.errors import LmapsError
from lmaps.protocol import MAX_BYTES, Request
from tests.daemons import WEB, Raw, RunningDaemon, until
from tests.robustness.control import control, manager_of, settles_at, taken_by
from tests.robustness.test_limits import EVERYBODY
from tests.robustness.users import as_user, let_in

Start = Callable[..., RunningDaemon]
Figure = Callable[[str, str], None]
Rounds = Callable[[int, int], int]

GREETING = b"\xff" + bytes(7) + b"\x01\x7f" + b"\x03\x01" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)
READY = b"\x05READY" + b"\x0bSocket-Type" + (6).to_bytes(4, "big") + b"DEALER"
GOOD = Request("units", {}, "x").encode()
WITHIN = 3.0
"""Seconds within which an ordinary client is answered, whatever goes on: one, and what a loaded machine adds."""


def frame(body: bytes, flags: int = 0) -> bytes:
    """A frame as ZMTP has it; flags: 1 more, 2 long, 4 command."""
    if len(body) > 255:
        return bytes([flags | 2]) + len(body).to_bytes(8, "big") + body
    return bytes([flags, len(body)]) + body


HELLO = GREETING + frame(READY, 4)


def connected(daemon: RunningDaemon) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.connect(f"{daemon.directory}/m.sock")
    made.settimeout(10)
    return made


def is_closed(made: socket.socket, within: float) -> bool:
    """Whether the other end closes the connection in time; what it says before is read."""
    made.settimeout(within)
    try:
        while made.recv(65536):
            continue
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def odd_bytes(chance: random.Random) -> bytes:
    """What a connection says that is no client's, or no longer."""
    request = frame(b"", 1) + frame(GOOD)
    noise = chance.randbytes(chance.choice([0, 1, 9, 63, 64, 65, 500, 5000]))
    said = chance.choice(
        [
            noise,
            GREETING + noise,
            GREETING[: chance.randrange(64)],
            HELLO + noise,
            HELLO + frame(noise, chance.randrange(256)),
            HELLO + request + noise,
            HELLO + b"\x02" + chance.choice([MAX_BYTES + 1, 2**40, 2**63 - 1, 2**64 - 1]).to_bytes(8, "big") + noise,
            HELLO + frame(b"", 1) * chance.choice([2, 3, 50]) + frame(GOOD),
            HELLO + frame(b"", 1) + frame(noise),
            HELLO + frame(b"\x04PING" + noise[:20], 4) + frame(noise, 4),
            GREETING + frame(b"\x05ERROR" + frame(noise[:200])[1:], 4),
            GREETING.replace(b"NULL", b"PLAIN") + frame(noise, 4),
            GREETING.replace(b"NULL", b"CURVE") + frame(b"\x05HELLO" + noise, 4),
            GREETING[:10] + bytes([chance.randrange(256)]) + GREETING[11:] + frame(READY, 4),
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b'{"v":1,"verb":"units"}\n',
        ]
    )
    if said and chance.random() < 0.3:
        place = chance.randrange(len(said))
        said = said[:place] + bytes([said[place] ^ (1 << chance.randrange(8))]) + said[place + 1 :]
    return said


@pytest.mark.timeout(3600)
def test_bytes_of_all_kinds(start_daemon: Start, rounds: Rounds, seed: int, figure: Figure) -> None:
    daemon = start_daemon(WEB)
    pid, chance, count = manager_of(daemon), random.Random(seed), 0
    seconds = rounds(5, 600)
    end, warm, before = time.monotonic() + seconds, time.monotonic() + seconds / 5, taken_by(pid)
    with control(daemon.endpoint) as waits:
        while time.monotonic() < end:
            if warm and time.monotonic() > warm:
                warm, before = 0.0, taken_by(pid)
            with contextlib.ExitStack() as stack:
                for each in [stack.enter_context(connected(daemon)) for _ in range(20)]:
                    with contextlib.suppress(OSError):
                        each.sendall(odd_bytes(chance))
                        if chance.random() < 0.3:
                            each.shutdown(socket.SHUT_WR)
            count += 20
    after = settles_at(pid, before)
    assert manager_of(daemon) == pid
    assert "Traceback" not in daemon.output()
    assert max(waits) < WITHIN, max(waits)
    assert after.memory - before.memory < 16, (before, after)
    figure(
        "38 malformed ZMTP",
        f"{count:,} connections in {seconds} s, 0 crashes, {after.memory - before.memory:+.1f} MiB, "
        f"{after.descriptors - before.descriptors:+d} descriptors; others wait {max(waits) * 1000:.0f} ms at most",
    )


def test_messages_of_any_number_of_frames(start_daemon: Start, figure: Figure) -> None:
    daemon = start_daemon(WEB)
    pid, raw = manager_of(daemon), Raw(daemon.endpoint)
    assert raw.ask(GOOD)["code"] is None
    before = taken_by(pid)
    with control(daemon.endpoint) as waits:
        shapes = ([b""], [b"", b""], [GOOD], [b"", GOOD, b""], [b"", GOOD, GOOD, GOOD], [b"x", GOOD], [b""] * 100_001)
        for frames in shapes:
            raw.socket.send_multipart(frames)
        for body in (b"\xff\xfe", b"", b"\xed\xa0\x80", b'{"v":1,"verb":"\xff"}'):
            assert raw.ask(body)["code"] == "message-refused"
        raw.socket.send_multipart([b"", b"x" * 100 * 1024 * 1024])
        until(lambda: daemon.data("status"))
    raw.close()
    after = settles_at(pid, before)
    assert manager_of(daemon) == pid
    assert after.memory - before.memory < 40, (before, after)
    assert "Traceback" not in daemon.output()
    assert max(waits) < WITHIN, max(waits)
    dropped = daemon.data("status")["counters"]["dropped"]
    assert dropped >= 5
    words = f"{len(shapes)} shapes, up to 100,001 frames: {dropped} dropped and counted, the rest answered"
    figure("39 frames", words)
    figure("41 100 MB in a frame", f"{after.memory - before.memory:+.1f} MiB")


def raise_limit(descriptors: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(descriptors, hard), hard))


def test_connections_that_never_say_who_they_are(start_daemon: Start, rounds: Rounds, figure: Figure) -> None:
    daemon = start_daemon(WEB)
    count = rounds(200, 1000)
    raise_limit(count + 500)
    pid = manager_of(daemon)
    before = taken_by(pid)
    with control(daemon.endpoint) as waits, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connected(daemon)) for _ in range(count)]
        begin = time.monotonic()
        for number, each in enumerate(slow):
            each.sendall(GREETING[: number % 64])
        closed = sum(is_closed(each, max(0.1, begin + 8 - time.monotonic())) for each in slow)
        took = time.monotonic() - begin
    assert closed == count
    settles_at(pid, before)
    assert max(waits) < WITHIN, max(waits)
    figure("36 slow-loris", f"{count:,} connections closed after {took:.1f} s, others wait {max(waits) * 1000:.0f} ms")


def greeted(daemon: RunningDaemon) -> socket.socket:
    """A connection that has said who it is, and says nothing more."""
    made = connected(daemon)
    made.sendall(HELLO)
    got = b""
    while len(got) < len(GREETING) + 8:
        got += made.recv(4096)
    return made


def test_a_thousand_idle_clients(start_daemon: Start, rounds: Rounds, figure: Figure) -> None:
    daemon = start_daemon(WEB)
    count = rounds(200, 1000)
    raise_limit(count + 500)
    pid = manager_of(daemon)
    with daemon.client() as client, contextlib.ExitStack() as stack:
        alone = creates(client, 0)
        before = taken_by(pid)
        for _ in range(count):
            stack.enter_context(greeted(daemon))
        after = taken_by(pid)
        among = creates(client, 1)
    assert after.descriptors - before.descriptors >= count
    assert among < 3 * alone + 0.1
    each = (after.memory - before.memory) * 1024 / count
    words = f"{count:,} clients, {each:.1f} KiB each; a create p99 {among * 1000:.1f} ms, alone {alone * 1000:.1f} ms"
    figure("37 idle clients", words)


def creates(client: Client, turn: int) -> float:
    """The 99th of 100 creates, in seconds."""
    took = []
    for number in range(100):
        begin = time.monotonic()
        client.call("create", unit="web", instances=[{"host": f"h{turn}-{number}"}])
        took.append(time.monotonic() - begin)
    return sorted(took)[98]


def ask_and_never_read(daemon: RunningDaemon) -> int:
    """As 32 clients, as often as the socket takes it; how many requests that was."""
    request, asked = frame(b"", 1) + frame(Request("show", {"unit": "web", "instances": True}, "x").encode()), 0
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(greeted(daemon)) for _ in range(32)]
        end = time.monotonic() + 2
        while time.monotonic() < end:
            for each in slow:
                if select.select([], [each], [], 0)[1]:
                    each.sendall(request)
                    asked += 1
    return asked


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_clients_that_never_read(start_daemon: Start, short_path: Any, figure: Figure) -> None:
    """They ask and ask; what they do not read is dropped in the end, and the others are served."""
    (short_path / "policy.yaml").write_text(EVERYBODY)
    daemon = start_daemon(WEB, policy="../policy.yaml")
    let_in(daemon)
    pid = manager_of(daemon)
    with daemon.client() as client:
        client.call("create", unit="web", instances=[{"host": f"h{number}"} for number in range(50)])
    before = taken_by(pid)
    with control(daemon.endpoint) as waits:
        asked = as_user(lambda: ask_and_never_read(daemon))
        after = taken_by(pid)
    assert manager_of(daemon) == pid
    settles_at(pid, before)
    assert max(waits) < WITHIN, max(waits)
    words = f"32 clients, {asked:,} requests: others wait {max(waits) * 1000:.0f} ms, {after.memory - before.memory:+.1f} MiB"
    figure("35 slow clients", words)


def test_clients_that_vanish(start_daemon: Start, rounds: Rounds, seed: int, figure: Figure) -> None:
    """They send a change and are gone, some before it is done, some in the middle of it."""
    daemon = start_daemon(WEB)
    chance, total, pid = random.Random(seed), rounds(500, 10_000), manager_of(daemon)
    before, sent = taken_by(pid), 0
    with control(daemon.endpoint) as waits:
        for number in range(total):
            if number == total // 5:
                before = settles_at(pid, before, 40)
            body = Request("create", {"unit": "web", "instances": [{"host": f"v{number}"}]}, key=f"k{number}").encode()
            told = frame(b"", 1) + frame(body)
            whole = chance.random() < 0.7
            with greeted(daemon) as made:
                made.sendall(told if whole else told[: chance.randrange(len(told))])
            sent += whole
    after = settles_at(pid, before)
    assert manager_of(daemon) == pid
    assert "Traceback" not in daemon.output()
    assert max(waits) < WITHIN, max(waits)
    assert after.memory - before.memory < 24, (before, after)
    with daemon.client() as client:
        there = len(client.call("show", unit="web").extra["state"]["vhosts"])
    assert there <= sent
    words = (
        f"{total:,} vanished, {there:,} changes of {sent:,} that were whole; {after.memory - before.memory:+.1f} MiB"
    )
    figure("34 clients that vanish", words)


@contextlib.contextmanager
def descriptors(pid: int, most: int) -> Iterator[None]:
    """Within the block a process may have no more descriptors open."""
    older = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, older[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, older)


def flood(daemon: RunningDaemon, count: int, seconds: float) -> int:
    """Connect so often, and so long, each connection held as long as it is let; how often it was refused."""
    refused, held, made_so_far, end = 0, [], 0, time.monotonic() + seconds
    while made_so_far < count or time.monotonic() < end:
        made_so_far += 1
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(2)
        try:
            made.connect(f"{daemon.directory}/m.sock")
            made.sendall(HELLO)
        except OSError:
            refused += 1
            made.close()
        else:
            held.append(made)
        if len(held) > 150:
            held.pop(0).close()
    for each in held:
        each.close()
    return refused


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("most", [64, 256])
def test_a_flood_of_connections_of_another_user(
    start_daemon: Start, short_path: Any, rounds: Rounds, figure: Figure, most: int
) -> None:
    """libzmq aborts where a descriptor is not to be had: then the manager is replaced, and clients come again."""
    (short_path / "policy.yaml").write_text(EVERYBODY)
    daemon = start_daemon(WEB, policy="../policy.yaml", limits={"connections": 32})
    let_in(daemon)
    pid, total = manager_of(daemon), rounds(400, 3000)
    waits: list[float] = []
    lost: list[LmapsError] = []
    enough = threading.Event()

    def create() -> None:
        with Client(daemon.endpoint, 20) as client:
            for number in range(100_000):
                if enough.is_set():
                    return
                begin = time.monotonic()
                try:
                    client.call("create", unit="web", instances=[{"host": f"h{number}"}])
                except LmapsError as error:
                    lost.append(error)
                waits.append(time.monotonic() - begin)

    ordinary = threading.Thread(target=create)
    with descriptors(pid, most):
        ordinary.start()
        until(lambda: waits)
        refused = as_user(lambda: flood(daemon, total, rounds(2, 20)))
        enough.set()
        ordinary.join()
    assert not lost, lost[:3]
    until(lambda: daemon.lmaps("status").returncode == 0)
    with daemon.client() as client:
        assert len(client.call("show", unit="web").extra["state"]["vhosts"]) == len(waits)
    replaced = manager_of(daemon) != pid
    figure(
        f"30 descriptors exhausted, limit {most}",
        f"{total:,} connects at least ({refused:,} found no place), manager {'replaced' if replaced else 'stays'}: "
        f"{len(waits):,} creates of another client, 0 lost, 0 unanswered, {max(waits):.2f} s at most",
    )
