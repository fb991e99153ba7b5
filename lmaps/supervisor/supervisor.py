"""`Daemon`: one loop that keeps the wanted children alive, and ends them step by step."""

import contextlib
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
from typing import Any

from setproctitle import setproctitle

from lmaps.config import Config
from lmaps.errors import AnotherDaemon, ConfigError, StateUnusable, UsageError
from lmaps.handlers import preload
from lmaps.process import Outcome, reap_orphans, set_subreaper
from lmaps.supervisor.children import Child
from lmaps.supervisor.locks import held_paths, locked
from lmaps.supervisor.privileges import chown_state, private_files
from lmaps.supervisor.report import say
from lmaps.supervisor.roles import Boot, Roles
from lmaps.supervisor.slots import EARLY, Slot, sweep_slot, sweep_slots
from lmaps.supervisor.systemd import Watchdog, notify, tell_reloading
from lmaps.transport.addresses import ipc_path
from lmaps.transport.bind import remove_stale
from lmaps.util.failpoints import failpoint
from lmaps.util.signals import SignalQueue, queued_signals
from lmaps.util.text import plural
from lmaps.util.times import format_duration

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
GIVE_UP_AFTER = 5
"""A manager that died early so many times in a row is not started again."""
FINAL = frozenset({UsageError.daemon_level, StateUnusable.daemon_level, ConfigError.daemon_level})
"""Exit codes of a child that say: starting it again would not help."""
SILENT_FOR = 10
"""Seconds after which a child that says nothing is taken for hung, and is killed."""
WORKERS_WITHIN = 15.0
"""Seconds that workers have to end their tools, to report it and to leave."""
MANAGER_WITHIN = 10.0
"""Seconds that the manager then has to finish its batch."""


class Step(enum.IntEnum):
    """What the daemon does, and then, one after the other, the steps of its end."""

    SERVE = 0
    DRAIN = 1  # no new jobs, those that run go on
    END_WORKERS = 2
    END_MANAGER = 3  # after the workers: it keeps what they report
    KILL = 4
    GONE = 5


class Daemon:
    """Runs one manager and the workers, in processes of their own.

    ``stop_grace`` is how many seconds running jobs have when the daemon is told to end. ``roles`` are what the children
    do. ``workers`` are the slots that are to be kept filled, ``threads`` the processes that run.
    """

    def __init__(self, config: Config, stop_grace: float = 60.0, roles: Roles | None = None) -> None:
        self.config = config
        self.stop_grace = stop_grace
        self.roles = roles or Roles()
        self.boot = Boot(uuid.uuid4().hex, secrets.token_hex(32))
        self.manager = Slot(0)
        self.workers: list[Slot] = []
        self.exit_code = 0
        self._restarts = 0
        self._jobs = ipc_path(config["rpc"]["worker_bind"]).parent / "jobs"
        self._signals: SignalQueue | None = None
        self._step = Step.SERVE
        self._until = math.inf
        self._ready = False
        self._drained = False
        self._next_second = 0.0
        self._watchdog = Watchdog()

    @property
    def threads(self) -> list[ForkProcess]:
        """The children that run: processes, where the original had threads."""
        return [child.process for child in self._children()]

    def make_workers(self, count: int = 1) -> None:
        """Want ``count`` workers more."""
        first = len(self.workers) + 1
        self.workers += [Slot(number) for number in range(first, first + count)]

    def run(self) -> int:
        """Serve until told to end, and end everything that was started; the exit code.

        SIGTERM lets running jobs end (`stop_grace`), a second one does not, nor does SIGINT; SIGHUP has the unit files
        loaded anew. Raises `AnotherDaemon` if the state or a socket is in use, before anything is touched.
        """
        with (
            private_files(),
            locked(held_paths(self.config, self.config["rpc"]["worker_bind"])),
            queued_signals(SIGNALS) as self._signals,
        ):
            chown_state(self.config)
            set_subreaper()
            preload()
            setproctitle("lmapsd: supervisor")
            sweep_slots(self._jobs)
            if not self.workers:
                self.make_workers(self.config["workers"])
            try:
                self.start_workers()
                while self._step is not Step.GONE:
                    self.manage_workers()
            finally:
                self._kill_all()
        return self.exit_code

    def start_workers(self) -> None:
        """Start the manager and the workers that are wanted, do not run, and are not to wait any longer."""
        for slot in self._wanted():
            slot.fill(self._role(slot), self.config["log"])

    def manage_workers(self) -> None:
        """One turn of the loop: wait until something happens, act on it, and start what is wanted and does not run."""
        ready = self._wait()
        for child in self._children():
            if child.has_spoken(ready):
                self._hear(child.receive() or {})
            child.send_rest()
        if self._signals is not None:
            self._on_signal(self._signals.take())
        for slot in self._slots():
            if slot.child is not None and slot.child.pidfd in ready:
                self._on_child_exit(slot, slot.child)
        reap_orphans(own=[child.pid for child in self._children()])
        self._count_seconds()
        self._watchdog.turn()
        self._go_on()
        self.start_workers()

    def _slots(self) -> list[Slot]:
        return [self.manager, *self.workers]

    def _children(self) -> list[Child]:
        return [slot.child for slot in self._slots() if slot.child is not None]

    def _wanted(self) -> list[Slot]:
        """The slots to be filled now. A worker that dies in the drain is replaced: its successor tells the manager."""
        if self._step is Step.SERVE:
            return self._slots()
        return self.workers if self._step is Step.DRAIN else []

    def _role(self, slot: Slot) -> partial[None]:
        if slot is self.manager:
            return partial(self.roles.manager, self.config, self.boot._replace(known=self._ready))
        return partial(self.roles.worker, self.config, self.boot, slot.number)

    def _wait(self) -> set[int]:
        """Wait for a signal, a child's word, its end, room for its orders or a time; the descriptors to read from."""
        poll = select.poll()
        for descriptor, events in self._watched():
            poll.register(descriptor, events)
        starts = [slot.due for slot in self._wanted() if slot.child is None]
        due = min([self._until, self._next_second, self._watchdog.next_due, *starts])
        timeout = max(0, math.ceil((due - time.monotonic()) * 1000))
        return {descriptor for descriptor, events in poll.poll(timeout) if events != select.POLLOUT}

    def _watched(self) -> Iterator[tuple[int, int]]:
        if self._signals is not None:
            yield self._signals.fd, select.POLLIN
        for child in self._children():
            yield from child.events().items()

    def _hear(self, news: dict[str, Any]) -> None:
        """Take what the manager says; workers only beat."""
        if "ready" in news:
            self._tell_ready(news["ready"])
        if "reloading" in news:
            tell_reloading() if news["reloading"] else notify("READY=1")
        if "drained" in news:
            self._drained = True
        if "replace" in news:
            self._replace(news["replace"])

    def _tell_ready(self, state: dict[str, Any]) -> None:
        counts = f"{plural(state['units'], 'unit')}, {plural(len(self.workers), 'worker')}"
        sentence = f"ready, {counts}, revision {state['revision']}, {', '.join(state['endpoints'])}"
        notify("READY=1", f"STATUS={sentence}")
        self._tell_manager({"restarts": self._restarts})
        if self._ready:
            log.info(sentence)
            return
        self._ready = True
        with contextlib.suppress(OSError):
            print(f"lmapsd: {sentence}", flush=True)

    def _replace(self, number: int) -> None:
        """Kill a worker that the manager waits for in vain; its tools are swept, and another takes its place."""
        for slot in self.workers:
            if slot.number == number and slot.child is not None:
                log.error("%s (pid %d) does not come to an end: killed", slot.name, slot.child.pid)
                slot.child.signal(signal.SIGKILL)

    def _on_signal(self, numbers: list[int]) -> None:
        """Act on the signals that have come; any number of SIGHUPs among them is one reload."""
        if signal.SIGHUP in numbers:
            self._tell_manager({"reload": True})
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop(number)

    def _stop(self, number: int) -> None:
        """Act on a signal to stop: the first SIGTERM drains, any further one cuts short what is waited for."""
        if self._step is not Step.SERVE:
            self._until = 0.0
        elif number == signal.SIGTERM:
            self._enter(Step.DRAIN)
        else:
            self._enter(Step.END_WORKERS)

    def _on_child_exit(self, slot: Slot, child: Child) -> None:
        """A child has ended: end what it has left, and see whether and when the next one starts."""
        code = slot.clear(child)
        failpoint("supervisor.reaped")
        if slot is not self.manager:
            failpoint("supervisor.before_sweep")
            sweep_slot(self._jobs / str(slot.number))
        if self._step > Step.DRAIN:
            return
        self._restarts += 1
        if slot is not self.manager:
            self._tell_manager({"lost": child.pid})
            self._tell_manager({"restarts": self._restarts})
        if code in FINAL or (code == AnotherDaemon.daemon_level and not self._ready):
            self._give_up(code)
        elif slot is self.manager and slot.backoff.early >= GIVE_UP_AFTER:
            say(f"cannot keep the manager alive: it ended {GIVE_UP_AFTER} times within {EARLY:.0f} s of its start")
            self._give_up(1)
        else:
            log.warning("%s (pid %d) has ended: %s", child.name, child.pid, Outcome(code).message)

    def _count_seconds(self) -> None:
        """Each second: kill the children that hang. Seconds in which this process could not run do not count."""
        if time.monotonic() < self._next_second:
            return
        self._next_second = time.monotonic() + 1.0
        for child in self._children():
            child.silent += 1
            if child.silent == SILENT_FOR:
                log.error("%s (pid %d) has said nothing for %d s: killed", child.name, child.pid, SILENT_FOR)
                child.signal(signal.SIGKILL)

    def _give_up(self, code: int) -> None:
        self.exit_code = code
        self._enter(Step.END_WORKERS)

    def _enter(self, step: Step) -> None:
        """Begin a step of the end."""
        if self._step is Step.SERVE:
            failpoint("supervisor.stopping")
            notify("STOPPING=1", "STATUS=stopping")
        self._step = step
        now = time.monotonic()
        match step:
            case Step.DRAIN:
                log.info("no new jobs; those that run have %s", format_duration(self.stop_grace))
                self._until = now + self.stop_grace
                self._tell_manager({"drain": True})
            case Step.END_WORKERS:
                self._until = now + WORKERS_WITHIN
                self._signal(self.workers, signal.SIGTERM)
            case Step.END_MANAGER:
                self._until = now + MANAGER_WITHIN
                self._signal([self.manager], signal.SIGTERM)
            case Step.KILL:
                self._until = math.inf  # what the kernel does not let go of still holds the state
                self._signal(self._slots(), signal.SIGKILL)

    def _tell_manager(self, order: dict[str, Any]) -> None:
        if self.manager.child is not None:
            self.manager.child.send(order)

    def _signal(self, slots: list[Slot], number: int) -> None:
        for slot in slots:
            slot.signal(number)

    def _go_on(self) -> None:
        """Go to the next step of the end when this one is done or its time is over."""
        while self._step not in (Step.SERVE, Step.GONE) and (self._is_done() or time.monotonic() >= self._until):
            self._enter(Step(self._step + 1))

    def _is_done(self) -> bool:
        if self._step is Step.DRAIN:
            return self._drained or self.manager.child is None
        if self._step is Step.END_WORKERS:
            return all(slot.child is None for slot in self.workers)
        if self._step is Step.END_MANAGER:
            return self.manager.child is None
        return not self._children()

    def _kill_all(self) -> None:
        """Whatever happened: leave nothing running."""
        self._signal(self._slots(), signal.SIGKILL)
        for child in self._children():
            child.reap()
        sweep_slots(self._jobs)
        reap_orphans(own=())
        remove_stale([*self.config["rpc"]["manager_bind"], self.config["rpc"]["worker_bind"]])
