import select
import time
from typing import Any

import pytest

from lmaps.supervisor.children import Child
from lmaps.util.heartbeat import channel_pair, receive


@pytest.fixture
def pair():
    """A child without a process, and its end of the channel."""
    ours, theirs = channel_pair()
    nothing: Any = None
    yield Child("manager", nothing, -1, ours, time.monotonic()), theirs
    ours.close()
    theirs.close()


def test_orders_that_find_the_channel_full_are_sent_when_there_is_room(pair):
    child, channel = pair
    count = 0
    while not child.unsent:
        child.send({"restarts": count})
        count += 1
    for _ in range(1000):
        child.send({"reload": True})
    child.send({"drain": True})
    assert child.unsent == [{"restarts": count - 1}, {"reload": True}, {"drain": True}]
    assert child.events()[child.channel.fileno()] == select.POLLIN | select.POLLOUT
    got = []
    while order := receive(channel):
        got.append(order)
        child.send_unsent()
    assert got == [*({"restarts": number} for number in range(count)), {"reload": True}, {"drain": True}]
    assert child.events()[child.channel.fileno()] == select.POLLIN


def test_orders_for_a_child_that_is_gone_are_not_kept(pair):
    child, channel = pair
    channel.close()
    child.send({"drain": True})
    assert child.unsent == []
    assert child.receive() is None
    child.send({"drain": True})
    assert child.unsent == []
