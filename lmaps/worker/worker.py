"""The worker: runs one task at a time, and reports output and result to the manager until they are stored."""

import logging
import math
import os
import signal
import time
from collections import deque
from dataclasses import replace
from itertools import islice

from lmaps.config.settings import Config
from lmaps.errors import LmapsError, MessageRefused
from lmaps.handlers import find_handlers
from lmaps.process import ForkServers, Line, set_subreaper
from lmaps.protocol.work import (
    Ack,
    Done,
    Hello,
    Lines,
    ManagerMessage,
    More,
    Part,
    Result,
    Run,
    Stop,
    decode,
    encode,
)
from lmaps.transport.addresses import ipc_path
from lmaps.transport.zmq_client import NO_SECRET, WorkerSocket
from lmaps.util import jsonio
from lmaps.util.failpoints import failpoint
from lmaps.util.heartbeat import SupervisorChannel
from lmaps.util.jsonio import JsonObject
from lmaps.util.signals import queued_signals
from lmaps.worker.execution import Execution, describe
from lmaps.worker.tasks import TASKS

RESULT_TIMEOUT_S = 2.0
"""The time that a stopping worker waits for the manager to store its last result."""
LINES_PER_MESSAGE, CHARS_PER_MESSAGE = 500, 1024 * 1024
"""The most lines in one message, and about the most characters: the manager records a message at a time."""
MAX_ERROR_CHARS = 16 * 1024
"""The longest error that is sent: a plugin may raise with any text."""
MAX_PENDING_LINES = 20_000
"""Lines that may wait for the manager; the tool's output is read on only while there are fewer."""


class Worker:
    """Runs tasks of the manager, one at a time.

    A worker goes on when the manager ends. It sends each unacknowledged line and result again to the next manager.
    """

    def __init__(
        self,
        manager_endpoint: str,
        config: Config,
        slot: int = 1,
        channel: SupervisorChannel | None = None,
        secret: str = NO_SECRET,
    ) -> None:
        """``manager_endpoint`` is the URI at which the manager serves its workers, ``slot`` this worker's number.

        ``channel`` leads to the supervisor, if there is one. ``secret`` proves the worker to the manager.
        """
        self.running = True
        self.config = config
        self.slot = slot
        self.log = logging.getLogger(__name__)
        self._manager_endpoint = manager_endpoint
        self._channel = channel or SupervisorChannel()
        self._secret = secret
        self.handlers = find_handlers(config.plugin_dirs, self._channel.beat)
        self.jobs_folder = ipc_path(manager_endpoint).parent / "jobs" / str(slot)
        self.fork_servers = ForkServers()
        self._token: str | None = None
        self._partial: Run | None = None
        self._execution: Execution | None = None
        self._result: Result | None = None
        self._pending: deque[Line] = deque()
        self._first_pending = 1  # the number of the line at the head of the queue
        self._sent = 0  # how many lines of the queue were sent and wait for their acknowledgement
        self._leave_at: float | None = None

    def start(self) -> None:
        """Connect and work until stopped: by `stop`, by SIGTERM, or because the supervisor is gone."""
        set_subreaper()
        self._socket = WorkerSocket(self._manager_endpoint, self._secret)
        try:
            with queued_signals([signal.SIGTERM]) as self._signals:
                while self.running or not self._may_leave():
                    self._run_once()
        finally:
            if self._execution is not None:
                self._execution.stop(grace=0)
                self._kill(self._execution)
            self.fork_servers.close()
            self._socket.close()

    def stop(self) -> None:
        """Stop the running task; leave when its result is stored, or `RESULT_TIMEOUT_S` after its end."""
        if not self.running:
            return
        self.running = False
        if self._execution is not None:
            self._execution.stop()

    def _may_leave(self) -> bool:
        if self._execution is not None:
            return False
        if self._leave_at is None:
            self._leave_at = time.monotonic() + RESULT_TIMEOUT_S
        return self._result is None or time.monotonic() >= self._leave_at

    def _run_once(self) -> None:
        """Wait until something happens, act on the manager's messages, and send the new output."""
        ready = self._socket.poll(self._sources(), self._timeout())
        if self._signals.take():
            self.stop()
        if ready.intersection(self._channel.fds()) and self._channel.receive() is None:
            self._on_supervisor_gone()
        self._channel.beat()
        if self._socket.connected():
            self._on_connected()
        while (message := self._socket.receive()) is not None:
            self._on_message(message)
        self._run_execution()
        self._send_lines()

    def _sources(self) -> list[int]:
        sources = [self._signals.fd, *self._channel.fds()]
        # A full queue stops the tool at its pipe, before the worker's memory is full.
        if self._execution is not None and len(self._pending) < MAX_PENDING_LINES:
            sources += self._execution.fds()
        return sources

    def _timeout(self) -> float | None:
        deadlines = [self._leave_at, self._execution.deadline if self._execution else None, self._channel.deadline]
        deadline = min(deadline for deadline in deadlines if deadline is not None)
        return None if deadline == math.inf else deadline - time.monotonic()

    def _on_supervisor_gone(self) -> None:
        """Kill the running program and leave: its tools must not run on beside those of the next daemon."""
        self.running = False
        self._leave_at = time.monotonic()
        if self._execution is not None:
            self._execution.stop(grace=0)

    def _on_connected(self) -> None:
        """Introduce this worker to the manager, and send again all that is not acknowledged."""
        self._socket.send(Hello(self.slot, os.getpid(), self.handlers.describe(), self._token))
        self._sent = 0
        self._request_more()
        self._send_lines()
        self._send_result()

    def _on_message(self, message: ManagerMessage) -> None:
        match message:
            case Run():
                self._on_run(message)
            case Part(token, after) if (run := self._partial) and (token, after) == (run.token, run.last):
                self._on_part(run, message)
            case Stop(token) if (run := self._partial) and token == run.token:
                self._abandon(run, "cancelled", "it had not begun")
            case Stop() if message.token == self._token and self._execution is not None:
                self._execution.cancel()
            case Ack() if message.token == self._token:
                while self._pending and self._first_pending <= message.upto:
                    self._pending.popleft()
                    self._first_pending += 1
                    self._sent -= 1
            case Done() if message.token == self._token:
                self._token = self._result = self._partial = None

    def _on_run(self, run: Run) -> None:
        if self._token is not None:
            self.log.error("a task was refused: another one runs")
            return
        failpoint("worker.got")
        self._token, self._first_pending, self._sent = run.token, 1, 0
        self._pending.clear()
        self._begin_if_complete(run)

    def _begin_if_complete(self, run: Run) -> None:
        """Begin the task if it has all its instances, else request more of them."""
        self._partial = None if run.last is None else run
        if run.last is None:
            self._begin(run)
        else:
            self._request_more()

    def _request_more(self) -> None:
        if self._partial is not None and self._partial.last is not None:
            self._socket.send(More(self._partial.token, self._partial.last))

    def _on_part(self, run: Run, part: Part) -> None:
        if part.error is not None:
            self._abandon(run, "failed", part.error)
            return
        for name, rows in part.rows.items():
            run.kwargs[name] += rows
        self._begin_if_complete(replace(run, last=part.last))

    def _abandon(self, run: Run, state: str, error: str) -> None:
        """End a task that has not begun because some of its instances have not arrived."""
        self._partial = None
        self._end(Result(run.token, state, error=error))

    def _begin(self, run: Run) -> None:
        try:
            value = TASKS[run.task](self, *run.args, **run.kwargs)
        except LmapsError as error:
            self._end(Result(run.token, "failed", error=error.message, code=error.code))
        except Exception as error:  # a plugin may raise anything, and the worker has to serve other units
            self.log.exception("the task %s failed", run.task)
            self._end(Result(run.token, "failed", error=describe(error)))
        else:
            if isinstance(value, Execution):
                self._execution = value
            else:
                self._end(Result(run.token, "succeeded", value=value))

    def beat(self) -> None:
        """Report to the supervisor that a long task goes on."""
        self._channel.beat()

    def emit(self, line: Line) -> None:
        """Queue a line of the running program for the manager."""
        failpoint("worker.mid_run")
        self._pending.append(line)

    def _run_execution(self) -> None:
        execution = self._execution
        if execution is None or len(self._pending) >= MAX_PENDING_LINES:
            return
        execution.run_once()
        if execution.outcome is not None and self._token is not None:
            self._execution = None
            failpoint("worker.after_exit")
            self._end(execution.result(self._token, execution.outcome))

    def _kill(self, execution: Execution) -> None:
        """Wait for the end of a program that was killed: the loop has failed, and no process may be left running."""
        while execution.outcome is None:
            execution.run_once()
            os.sched_yield()

    def _end(self, result: Result) -> None:
        self._result = _readable(result)
        self._send_lines()
        self._send_result()

    def _send_lines(self) -> None:
        """Send the queued lines that were not sent yet, until the socket is full."""
        while self._token is not None and self._sent < len(self._pending):
            batch = self._next_batch()
            if not self._socket.send(Lines(self._token, self._first_pending + self._sent, batch)):
                return
            self._sent += len(batch)

    def _next_batch(self) -> list[JsonObject]:
        """Return the next lines to send: at least one, and of the others as many as one message may have."""
        batch: list[JsonObject] = []
        chars = 0
        for line in islice(self._pending, self._sent, self._sent + LINES_PER_MESSAGE):
            chars += len(line.text) + (0 if line.event is None else len(jsonio.encode(line.event)))
            if batch and chars > CHARS_PER_MESSAGE:
                break
            batch.append(line.to_json())
        return batch

    def _send_result(self) -> None:
        if self._result is not None:
            failpoint("worker.before_send")
            self._socket.send(self._result)
            failpoint("worker.after_send")


def _readable(result: Result) -> Result:
    """Return a result that the manager can read: it drops any other, and the job would never end.

    A plugin may return anything, and raise with any text.
    """
    if result.error is not None:
        result = replace(result, error=result.error[:MAX_ERROR_CHARS].encode(errors="replace").decode())
    try:
        decode(encode(result))
    except (MessageRefused, ValueError, TypeError, RecursionError) as error:
        # Only the type: the text could quote what was returned.
        return Result(
            result.token, "failed", error=f"the result of the handler cannot be sent ({type(error).__name__})"
        )
    return result
