import json
import math

import pytest

from lmaps.util.heartbeat import MAX_MESSAGE_BYTES, SupervisorChannel, channel_pair


def test_a_child_beats_once_a_second_and_tells_its_news():
    ours, theirs = channel_pair()
    channel = SupervisorChannel(theirs)
    for _ in range(5):
        channel.beat()
    channel.report({"drained": True})
    assert [json.loads(ours.recv(MAX_MESSAGE_BYTES)) for _ in range(2)] == [{"beat": True}, {"drained": True}]
    with pytest.raises(BlockingIOError):
        ours.recv(MAX_MESSAGE_BYTES)
    ours.close()
    theirs.close()


def test_a_child_hears_orders_and_the_end():
    ours, theirs = channel_pair()
    channel = SupervisorChannel(theirs)
    ours.send(b'{"drain": true}')
    assert channel.receive() == {"drain": True}
    ours.close()
    assert channel.receive() is None
    assert (channel.fds(), channel.deadline) == ([], math.inf)
    channel.report({"said": "to nobody"})


def test_nothing_waits_for_a_supervisor_that_does_not_read():
    ours, theirs = channel_pair()
    channel = SupervisorChannel(theirs)
    for _ in range(10_000):
        channel.report({"beat": True})
    ours.close()
    assert channel.receive() is None


def test_without_a_supervisor_nothing_is_due():
    channel = SupervisorChannel()
    channel.beat()
    assert (channel.fds(), channel.deadline, channel.receive()) == ([], math.inf, None)
