from lmaps.util.threads import OpenThread, Threader
from tests.daemons import until


class Loop:
    """Turns until it is told to end; it takes no lock, since it is ended between any two of its steps."""

    def __init__(self):
        self.turns = 0

    def __call__(self, *args):
        self.args = args
        while True:
            self.turns += 1


def test_a_threader_runs_for_the_length_of_the_block():
    loop = Loop()
    with Threader(loop, args=[1, 2]) as keeper:
        until(lambda: loop.turns)
        assert keeper.isAlive()
        assert loop.args == (1, 2)
        assert keeper.thread.daemon
    assert not keeper.isAlive()


def test_an_open_thread_goes_on_after_the_block():
    loop = Loop()
    with OpenThread(loop) as keeper:
        until(lambda: loop.turns)
    assert keeper.isAlive()
    assert keeper.stop() is True
    assert not keeper.isAlive()


def test_start_and_stop_say_how_it_stands():
    loop = Loop()
    keeper = Threader(loop)
    assert keeper.isAlive() is False
    assert keeper.stop() is True
    assert keeper.start() is True
    assert keeper.start() is True
    assert keeper.stop() is True
    assert keeper.start() is True
    assert keeper.stop() is True


def test_a_method_that_ends_by_itself():
    keeper = Threader(lambda: None)
    keeper.start()
    keeper.thread.join(5)
    assert keeper.isAlive() is False
