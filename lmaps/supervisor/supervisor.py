"""`Daemon`: one loop that keeps the wanted children running, and ends them step by step."""

import enum
import logging
import math
import secrets
import select
import signal
import time
import uuid
from collections.abc import Iterator
from functools import partial
from multiprocessing.context import ForkProcess

from setproctitle import setproctitle

from lmaps.config.settings import Config
from lmaps.errors import AnotherDaemon, ConfigError, StateUnusable, UsageError
from lmaps.handlers import preload
from lmaps.process import Outcome, reap_orphans, set_subreaper
from lmaps.supervisor.children import Child
from lmaps.supervisor.locks import exclusive_paths, locked
from lmaps.supervisor.privileges import chown_state, private_files
from lmaps.supervisor.report import print_lines, print_state
from lmaps.supervisor.roles import Boot, Roles
from lmaps.supervisor.slots import EARLY_S, Slot, sweep_slot, sweep_slots
from lmaps.supervisor.systemd import Watchdog, notify, notify_reloading
from lmaps.transport.addresses import ipc_path
from lmaps.transport.bind import remove_stale
from lmaps.util.failpoints import failpoint
from lmaps.util.jsonio import JsonObject
from lmaps.util.signals import SignalQueue, queued_signals
from lmaps.util.text import plural
from lmaps.util.times import format_duration

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
MAX_EARLY_DEATHS = 5
"""A manager that died early so many times in a row is not started again."""
FINAL_EXIT_CODES = frozenset({UsageError.daemon_level, StateUnusable.daemon_level, ConfigError.daemon_level})
"""Exit codes of a child for which a restart would not help."""
MAX_SILENCE_S = 10
"""A child that sends nothing for so long hangs, and is killed."""
SECOND_S = 1.0
WORKERS_STOP_S = 15.0
"""The time that workers have to end their tools, to report the results and to exit."""
MANAGER_STOP_S = 10.0
"""The time that the manager then has to finish its batch."""


class Step(enum.IntEnum):
    """The normal operation, and then, one after the other, the steps of the shutdown."""

    SERVE = 0
    DRAIN = 1  # no new jobs; running ones continue
    END_WORKERS = 2
    END_MANAGER = 3  # after the workers: it stores what they report
    KILL = 4
    GONE = 5


class Daemon:
    """Runs one manager and the workers, in processes of their own.

    ``stop_grace`` is the time [s] that running jobs have when the daemon is stopped. ``roles`` are the entry functions
    of the children. ``workers`` are the workers' slots, ``threads`` the running processes.
    """

    def __init__(self, config: Config, stop_grace: float = 60.0, roles: Roles | None = None) -> None:
        self._config = config
        self.stop_grace = stop_grace
        self.roles = roles or Roles()
        self.boot = Boot(uuid.uuid4().hex, secrets.token_hex(32))
        self.manager = Slot(0)
        self.workers: list[Slot] = []
        self.exit_code = 0
        self._restarts = 0
        self._jobs = ipc_path(config.rpc.worker_bind).parent / "jobs"
        self._signals: SignalQueue | None = None
        self._step = Step.SERVE
        self._step_deadline = math.inf
        self._ready = False
        self._drained = False
        self._next_second = 0.0
        self._watchdog = Watchdog()

    @property
    def threads(self) -> list[ForkProcess]:
        """The running children: processes, where the original had threads."""
        return [child.process for child in self._children()]

    def make_workers(self, count: int = 1) -> None:
        """Add ``count`` workers to the wanted ones."""
        first = len(self.workers) + 1
        self.workers += [Slot(number) for number in range(first, first + count)]

    def run(self) -> int:
        """Serve until stopped, end everything that was started, and return the exit code.

        SIGTERM lets running jobs end (`stop_grace`); a second one, or SIGINT, stops them. SIGHUP reloads the unit
        files. Raises `AnotherDaemon` if the state or a socket is in use, before anything is changed.
        """
        with (
            private_files(),
            locked(exclusive_paths(self._config, self._config.rpc.worker_bind)),
            queued_signals(SIGNALS) as self._signals,
        ):
            chown_state(self._config)
            set_subreaper()  # a dead worker's tools become children of this process, which can find and end them
            preload()
            setproctitle("lmapsd: supervisor")
            sweep_slots(self._jobs)
            if not self.workers:
                self.make_workers(self._config.workers)
            try:
                self.start_workers()
                while self._step is not Step.GONE:
                    self.manage_workers()
            finally:
                self._end_everything()
        return self.exit_code

    def start_workers(self) -> None:
        """Start the wanted children that do not run and whose wait is over."""
        for slot in self._wanted():
            slot.start_child(self._role(slot), self._config.log)

    def manage_workers(self) -> None:
        """Wait until something happens, act on it, and start the wanted children that do not run."""
        ready = self._wait()
        for child in self._children():
            if child.has_message(ready):
                self._on_message(child.receive() or {})
            child.send_unsent()
        if self._signals is not None:
            self._on_signal(self._signals.take())
        for slot in self._slots():
            if slot.child is not None and slot.child.pidfd in ready:
                self._on_child_exit(slot, slot.child)
        reap_orphans(own=[child.pid for child in self._children()])
        self._kill_silent_children()
        self._watchdog.run_once()
        self._advance()
        self.start_workers()

    def _slots(self) -> list[Slot]:
        return [self.manager, *self.workers]

    def _children(self) -> list[Child]:
        return [slot.child for slot in self._slots() if slot.child is not None]

    def _wanted(self) -> list[Slot]:
        """Return the slots to be filled now.

        A worker that dies in the drain is replaced: the manager stores its job's end when the successor reports.
        """
        if self._step is Step.SERVE:
            return self._slots()
        return self.workers if self._step is Step.DRAIN else []

    def _role(self, slot: Slot) -> partial[None]:
        if slot is self.manager:
            return partial(self.roles.manager, self._config, self.boot._replace(state_opened=self._ready))
        return partial(self.roles.worker, self._config, self.boot, slot.number)

    def _wait(self) -> set[int]:
        """Wait for a signal, a child's message or exit, room for its orders, or a deadline.

        Return the readable descriptors.
        """
        poll = select.poll()
        for descriptor, events in self._watched():
            poll.register(descriptor, events)
        starts = [slot.start_at for slot in self._wanted() if slot.child is None]
        deadline = min([self._step_deadline, self._next_second, self._watchdog.deadline, *starts])
        timeout = max(0, math.ceil((deadline - time.monotonic()) * 1000))
        return {descriptor for descriptor, events in poll.poll(timeout) if events != select.POLLOUT}

    def _watched(self) -> Iterator[tuple[int, int]]:
        if self._signals is not None:
            yield self._signals.fd, select.POLLIN
        for child in self._children():
            yield from child.events().items()

    def _on_message(self, message: JsonObject) -> None:
        """Act on a message of the manager; workers send heartbeats only."""
        if "ready" in message:
            self._on_ready(message["ready"])
        if "reloading" in message:
            notify_reloading() if message["reloading"] else notify("READY=1")
        if "drained" in message:
            self._drained = True
        if "replace" in message:
            self._kill_worker(message["replace"])

    def _on_ready(self, state: JsonObject) -> None:
        counts = f"{plural(state['units'], 'unit')}, {plural(len(self.workers), 'worker')}"
        message = f"ready, {counts}, revision {state['revision']}, {', '.join(state['endpoints'])}"
        notify("READY=1", f"STATUS={message}")
        self._send_to_manager({"restarts": self._restarts})
        if self._ready:  # a manager that was started again: people wait for the first one only
            log.info(message)
            return
        self._ready = True
        print_state(message)

    def _kill_worker(self, number: int) -> None:
        """Kill the worker in slot ``number``, which does not end its job; its tools are swept and it is replaced."""
        for slot in self.workers:
            if slot.number == number and slot.child is not None:
                log.error("%s (pid %d) does not end its job: killed", slot.name, slot.child.pid)
                slot.child.signal(signal.SIGKILL)

    def _on_signal(self, numbers: list[int]) -> None:
        """Act on the signals received; any number of SIGHUPs among them is one reload."""
        if signal.SIGHUP in numbers:
            self._send_to_manager({"reload": True})
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop(number)

    def _stop(self, number: int) -> None:
        """Act on a signal to stop: the first SIGTERM drains, every further one ends the current step at once."""
        if self._step is not Step.SERVE:
            self._step_deadline = 0.0
        elif number == signal.SIGTERM:
            self._begin(Step.DRAIN)
        else:
            self._begin(Step.END_WORKERS)

    def _on_child_exit(self, slot: Slot, child: Child) -> None:
        """Reap a child, end the processes that it has left, and decide whether another one starts."""
        code = slot.reap_child(child)
        failpoint("supervisor.reaped")
        if slot is not self.manager:
            failpoint("supervisor.before_sweep")
            sweep_slot(self._jobs / str(slot.number))
        if self._step > Step.DRAIN:
            return
        self._restarts += 1
        if slot is not self.manager:
            self._send_to_manager({"lost": child.pid})
            self._send_to_manager({"restarts": self._restarts})
        # Once a manager has served, another program that has the database open is worth waiting for: it may close it.
        if code in FINAL_EXIT_CODES or (code == AnotherDaemon.daemon_level and not self._ready):
            self._give_up(code)
        elif slot is self.manager and slot.backoff.early >= MAX_EARLY_DEATHS:
            deaths = f"it ended {MAX_EARLY_DEATHS} times within {EARLY_S:.0f} s of its start"
            print_lines(f"cannot keep the manager alive: {deaths}")
            self._give_up(1)
        else:
            log.warning("%s (pid %d) has ended: %s", child.name, child.pid, Outcome(code).message)

    def _kill_silent_children(self) -> None:
        """Count a second of silence for each child, once a second, and kill the children that hang.

        Seconds are counted, not measured: while this process is stopped, or the host sleeps, no child is at fault.
        """
        if time.monotonic() < self._next_second:
            return
        self._next_second = time.monotonic() + SECOND_S
        for child in self._children():
            child.silent_s += 1
            if child.silent_s == MAX_SILENCE_S:
                log.error("%s (pid %d) has sent nothing for %d s: killed", child.name, child.pid, MAX_SILENCE_S)
                child.signal(signal.SIGKILL)

    def _give_up(self, code: int) -> None:
        self.exit_code = code
        self._begin(Step.END_WORKERS)

    def _begin(self, step: Step) -> None:
        """Begin a step of the shutdown."""
        if self._step is Step.SERVE:
            failpoint("supervisor.stopping")
            notify("STOPPING=1", "STATUS=stopping")
        self._step = step
        now = time.monotonic()
        match step:
            case Step.DRAIN:
                log.info("stopping: no new jobs start, running ones have %s to end", format_duration(self.stop_grace))
                self._step_deadline = now + self.stop_grace
                self._send_to_manager({"drain": True})
            case Step.END_WORKERS:
                self._step_deadline = now + WORKERS_STOP_S
                self._signal(self.workers, signal.SIGTERM)
            case Step.END_MANAGER:
                self._step_deadline = now + MANAGER_STOP_S
                self._signal([self.manager], signal.SIGTERM)
            case Step.KILL:
                self._step_deadline = math.inf  # a child in an uninterruptible sleep still has the database open
                self._signal(self._slots(), signal.SIGKILL)

    def _send_to_manager(self, order: JsonObject) -> None:
        if self.manager.child is not None:
            self.manager.child.send(order)

    def _signal(self, slots: list[Slot], number: int) -> None:
        for slot in slots:
            slot.signal(number)

    def _advance(self) -> None:
        """Begin the next step of the shutdown when this one is done or its time is over."""
        while self._step not in (Step.SERVE, Step.GONE) and (
            self._is_done() or time.monotonic() >= self._step_deadline
        ):
            self._begin(Step(self._step + 1))

    def _is_done(self) -> bool:
        if self._step is Step.DRAIN:
            return self._drained or self.manager.child is None
        if self._step is Step.END_WORKERS:
            return all(slot.child is None for slot in self.workers)
        if self._step is Step.END_MANAGER:
            return self.manager.child is None
        return not self._children()

    def _end_everything(self) -> None:
        """Kill the children that are left, and end the processes of their jobs."""
        self._signal(self._slots(), signal.SIGKILL)
        for child in self._children():
            child.reap()
        sweep_slots(self._jobs)
        reap_orphans(own=())
        remove_stale([*self._config.rpc.manager_bind, self._config.rpc.worker_bind])
