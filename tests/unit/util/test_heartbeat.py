import json
import math

import pytest

from lmaps.util.heartbeat import LONGEST, SupervisorChannel, channel_pair


def test_a_child_beats_once_a_second_and_tells_its_news():
    ours, theirs = channel_pair()
    lifeline = SupervisorChannel(theirs)
    for _ in range(5):
        lifeline.beat()
    lifeline.tell({"drained": True})
    assert [json.loads(ours.recv(LONGEST)) for _ in range(2)] == [{"beat": True}, {"drained": True}]
    with pytest.raises(BlockingIOError):
        ours.recv(LONGEST)
    ours.close()
    theirs.close()


def test_a_child_hears_orders_and_the_end():
    ours, theirs = channel_pair()
    lifeline = SupervisorChannel(theirs)
    ours.send(b'{"drain": true}')
    assert lifeline.hear() == {"drain": True}
    ours.close()
    assert lifeline.hear() is None
    assert (lifeline.fds(), lifeline.next_due) == ([], math.inf)
    lifeline.tell({"said": "to nobody"})


def test_nothing_waits_for_a_supervisor_that_does_not_read():
    ours, theirs = channel_pair()
    lifeline = SupervisorChannel(theirs)
    for _ in range(10_000):
        lifeline.tell({"beat": True})
    ours.close()
    assert lifeline.hear() is None


def test_without_a_supervisor_nothing_is_due():
    lifeline = SupervisorChannel()
    lifeline.beat()
    assert (lifeline.fds(), lifeline.next_due, lifeline.hear()) == ([], math.inf, None)
