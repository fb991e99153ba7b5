"""The worker: runs one task at a time, and tells the manager what comes of it until it is stored."""

import logging
import math
import os
import signal
import time
from collections import deque
from dataclasses import replace
from itertools import islice

from lmaps.config import Config
from lmaps.errors import LmapsError
from lmaps.handlers import find_handlers
from lmaps.process import ForkServers, Line, set_subreaper
from lmaps.protocol.work import Ack, Done, Hello, Lines, ManagerMessage, More, Part, Result, Run, Stop
from lmaps.transport.addresses import ipc_path
from lmaps.transport.zmq_client import NO_SECRET, WorkerSocket
from lmaps.util.failpoints import failpoint
from lmaps.util.heartbeat import SupervisorChannel
from lmaps.util.signals import queued_signals
from lmaps.worker.execution import Execution
from lmaps.worker.tasks import TASKS

STORED_WITHIN = 2.0
"""Seconds that a stopping worker waits for the manager to store its last result."""
BATCH = 500
"""Lines of one message."""
UNACKNOWLEDGED = 20_000
"""Lines that may wait for the manager; the tool's output is read on only when there are fewer."""


class Worker:
    """Runs tasks of the manager, one at a time.

    It connects to the manager and stays through the manager's restarts: what is not acknowledged is said again.
    """

    def __init__(
        self,
        manager_endpoint: str,
        config: Config,
        slot: int = 1,
        channel: SupervisorChannel | None = None,
        secret: str = NO_SECRET,
    ) -> None:
        """``manager_endpoint`` is the URI at which the manager serves its workers; ``slot`` is this worker's number.

        The ``channel`` comes from a supervisor, and so does the ``secret`` that proves the worker to the manager.
        """
        self.running = True
        self.config = config
        self.slot = slot
        self.log = logging.getLogger(__name__)
        self._manager_endpoint = manager_endpoint
        self._channel = channel or SupervisorChannel()
        self._secret = secret
        self.handlers = find_handlers(config["plugin_dirs"], self._channel.beat)
        self.jobs_folder = ipc_path(manager_endpoint).parent / "jobs" / str(slot)
        self.fork_servers = ForkServers()
        self._token: str | None = None
        self._partial: Run | None = None
        self._execution: Execution | None = None
        self._result: Result | None = None
        self._pending: deque[Line] = deque()
        self._first = 1
        self._sent = 0
        self._leave_at: float | None = None

    def start(self) -> None:
        """Connect and work until stopped: by `stop`, by SIGTERM, or because the supervisor is gone."""
        set_subreaper()
        self._link = WorkerSocket(self._manager_endpoint, self._secret)
        try:
            with queued_signals([signal.SIGTERM]) as self._signals:
                while self.running or not self._may_leave():
                    self._turn()
        finally:
            if self._execution is not None:
                self._execution.stop(grace=0)
                self._finish_now(self._execution)
            self.fork_servers.close()
            self._link.close()

    def stop(self) -> None:
        """Leave when what runs is stopped and its result stored, or after `STORED_WITHIN`."""
        if not self.running:
            return
        self.running = False
        if self._execution is not None:
            self._execution.stop()

    def _may_leave(self) -> bool:
        if self._execution is not None:
            return False
        if self._leave_at is None:
            self._leave_at = time.monotonic() + STORED_WITHIN
        return self._result is None or time.monotonic() >= self._leave_at

    def _turn(self) -> None:
        """One turn of the loop: wait, hear the manager, see to the program that runs, say what is new."""
        ready = self._link.poll(self._sources(), self._timeout())
        if self._signals.take():
            self.stop()
        if ready.intersection(self._channel.fds()) and self._channel.receive() is None:
            self._orphaned()
        self._channel.beat()
        if self._link.connected():
            self._greet()
        while (message := self._link.receive()) is not None:
            self._hear(message)
        self._see_to_execution()
        self._say_lines()

    def _sources(self) -> list[int]:
        sources = [self._signals.fd, *self._channel.fds()]
        if self._execution is not None and len(self._pending) < UNACKNOWLEDGED:
            sources += self._execution.fds()
        return sources

    def _timeout(self) -> float | None:
        deadlines = [self._leave_at, self._execution.deadline if self._execution else None, self._channel.deadline]
        due = min(deadline for deadline in deadlines if deadline is not None)
        return None if due == math.inf else due - time.monotonic()

    def _orphaned(self) -> None:
        """The supervisor is gone: end what runs, at once, and leave."""
        self.running = False
        self._leave_at = time.monotonic()
        if self._execution is not None:
            self._execution.stop(grace=0)

    def _greet(self) -> None:
        """Say who is here, and everything again that the manager has not acknowledged."""
        self._link.send(Hello(self.slot, os.getpid(), self.handlers.describe(), self._token))
        self._sent = 0
        self._ask_for_more()
        self._say_lines()
        self._say_result()

    def _hear(self, message: ManagerMessage) -> None:
        match message:
            case Run():
                self._take(message)
            case Part(token, after) if (run := self._partial) and (token, after) == (run.token, run.last):
                self._take_part(run, message)
            case Stop(token) if (run := self._partial) and token == run.token:
                self._give_up(run, "cancelled", "it had not begun")
            case Stop() if message.token == self._token and self._execution is not None:
                self._execution.cancel()
            case Ack() if message.token == self._token:
                while self._pending and self._first <= message.upto:
                    self._pending.popleft()
                    self._first += 1
                    self._sent -= 1
            case Done() if message.token == self._token:
                self._token = self._result = self._partial = None

    def _take(self, run: Run) -> None:
        if self._token is not None:
            self.log.error("a task was refused: another one runs")
            return
        failpoint("worker.got")
        self._token, self._first, self._sent = run.token, 1, 0
        self._pending.clear()
        self._go_on(run)

    def _go_on(self, run: Run) -> None:
        """Begin the task if its state is all there, else ask for more."""
        self._partial = None if run.last is None else run
        if run.last is None:
            self._begin(run)
        else:
            self._ask_for_more()

    def _ask_for_more(self) -> None:
        if self._partial is not None and self._partial.last is not None:
            self._link.send(More(self._partial.token, self._partial.last))

    def _take_part(self, run: Run, part: Part) -> None:
        if part.error is not None:
            self._give_up(run, "failed", part.error)
            return
        for name, rows in part.rows.items():
            run.kwargs[name] += rows
        self._go_on(replace(run, last=part.last))

    def _give_up(self, run: Run, state: str, error: str) -> None:
        """End a task whose state is not all there."""
        self._partial = None
        self._end(Result(run.token, state, error=error))

    def _begin(self, run: Run) -> None:
        try:
            value = TASKS[run.task](self, *run.args, **run.kwargs)
        except LmapsError as error:
            self._end(Result(run.token, "failed", error=error.message, code=error.code))
        except Exception as error:  # the edge: whatever a task or a plugin raises, the worker goes on
            self.log.exception("the task %s failed", run.task)
            self._end(Result(run.token, "failed", error=f"{type(error).__name__}: {error}"))
        else:
            if isinstance(value, Execution):
                self._execution = value
            else:
                self._end(Result(run.token, "succeeded", value=value))

    def beat(self) -> None:
        """Tell the supervisor that what takes long goes on."""
        self._channel.beat()

    def emit(self, line: Line) -> None:
        """Take a line of what runs, to be told to the manager."""
        failpoint("worker.mid_run")
        self._pending.append(line)

    def _see_to_execution(self) -> None:
        execution = self._execution
        if execution is None or len(self._pending) >= UNACKNOWLEDGED:
            return
        execution.turn()
        if execution.outcome is not None and self._token is not None:
            self._execution = None
            failpoint("worker.after_exit")
            self._end(execution.result(self._token, execution.outcome))

    def _finish_now(self, execution: Execution) -> None:
        """The loop has failed: leave nothing of the program behind."""
        while execution.outcome is None:
            execution.turn()
            os.sched_yield()

    def _end(self, result: Result) -> None:
        self._result = result
        self._say_lines()
        self._say_result()

    def _say_lines(self) -> None:
        """Send the lines that the manager has not been sent."""
        while self._token is not None and self._sent < len(self._pending):
            batch = [line.to_json() for line in islice(self._pending, self._sent, self._sent + BATCH)]
            if not self._link.send(Lines(self._token, self._first + self._sent, batch)):
                return
            self._sent += len(batch)

    def _say_result(self) -> None:
        if self._result is not None:
            failpoint("worker.before_send")
            self._link.send(self._result)
            failpoint("worker.after_send")
