"""The manager's loop: receive from clients, workers and the supervisor, commit, answer, assign jobs."""

import contextlib
import logging
import math
import os
import signal
import time
from collections.abc import Iterator
from operator import attrgetter
from typing import Any, Self

from lmaps.api.registry import AfterCommit, Deferred, ManagerState, RequestContext
from lmaps.config.policy import load_policy
from lmaps.config.settings import Config
from lmaps.errors import HandlerFailed, NotFound, ValidationFailed
from lmaps.manager.background import BackgroundChecks
from lmaps.manager.client_requests import ClientRequests, find_route
from lmaps.manager.confirmations import Confirmations
from lmaps.manager.dispatcher import Dispatcher
from lmaps.manager.group_commit import commit
from lmaps.manager.reloading import Reloader, one_line
from lmaps.manager.retention import Retention
from lmaps.manager.sockets import ManagerSockets, bind_manager_sockets
from lmaps.manager.tasks import TASKS
from lmaps.manager.worker_messages import WorkerInbox, WorkerMessages
from lmaps.model.policy import daemon_subject
from lmaps.model.states import JobState
from lmaps.model.units import load_units
from lmaps.protocol import VERSION, Reply, work
from lmaps.protocol.work import Result
from lmaps.store import Store, open_store
from lmaps.transport.server import Poller, ServerSocket, listening
from lmaps.transport.zap import CLIENT_DOMAIN, WORKER_DOMAIN, ZapAuthenticator
from lmaps.util.failpoints import failpoint
from lmaps.util.heartbeat import SupervisorChannel
from lmaps.util.jsonio import JsonObject
from lmaps.util.signals import SignalQueue, queued_signals
from lmaps.util.timelimit import alarm_handler

log = logging.getLogger(__name__)

_deadline_of = attrgetter("deadline")


class Manager:
    """Listens to clients, keeps the state, and has workers run what takes time.

    It has to be made and started in one process.
    """

    def __init__(
        self,
        worker_endpoint: str,
        config: Config,
        boot_id: str,
        channel: SupervisorChannel | None = None,
        sockets: ManagerSockets | None = None,
        *,
        state_opened: bool = False,
    ) -> None:
        """Load the units; nothing is opened yet.

        worker_endpoint  URI that workers connect to
        boot_id          names this start of the daemon: jobs of an earlier one are lost
        channel          to the supervisor, if there is one
        sockets          bound by the supervisor; without them the manager binds its own
        state_opened     a manager of this daemon has opened the state before: it need not be checked again
        """
        self.running = False
        self._worker_endpoint = worker_endpoint
        self._channel = channel or SupervisorChannel()
        self._sockets = sockets
        self._state_opened = state_opened
        self.state = ManagerState(
            config=config,
            units=load_units(config),
            boot_id=boot_id,
            policy=load_policy(config.policy, config.uid),
            supervisor=os.getppid() if self._channel.fds() else None,
            reload=self._reload,
            beat=self._channel.beat,
        )
        for refused in self.state.units.errors:
            log.error("%s", one_line(refused))
        self._signals: SignalQueue | None = None
        self._is_checked = False

    def start(self) -> None:
        """Open the state, listen, and serve until SIGTERM or until the supervisor is gone."""
        with self.serving(), queued_signals([signal.SIGTERM]) as self._signals:
            self._poller.watch(self._signals.fd)
            while self.running:
                self.run_once()

    @contextlib.contextmanager
    def serving(self) -> Iterator[Self]:
        """Within the block the state is open and clients can connect; `run_once` and `run_task` serve them."""
        self._open()
        try:
            with alarm_handler(), listening(self._clients, self._workers):
                yield self
        finally:
            self.running = False
            self._store.close()
            self._authenticator.close()

    def _open(self) -> None:
        """Make everything that this process owns; nobody is served yet."""
        config, state = self.state.config, self.state
        sockets = self._sockets or bind_manager_sockets(config, self._worker_endpoint)
        self._authenticator = ZapAuthenticator(config.uid, sockets.secret, config.limits.connections, sockets.keys)
        self._clients = ServerSocket(self._authenticator, CLIENT_DOMAIN, sockets.clients)
        self._workers = ServerSocket(self._authenticator, WORKER_DOMAIN, sockets.workers)
        self._store: Store = open_store(config.db, sockets.sealer, self._channel.beat, known=self._state_opened)
        self._dispatcher = Dispatcher(state, self._workers)
        self._reloader = Reloader(state, self._authenticator, self._dispatcher)
        self._inbox = WorkerInbox(self._workers, WorkerMessages(state, self._dispatcher, self._on_worker))
        self._retention = Retention()
        self._background = BackgroundChecks(state)
        self._confirmations = Confirmations(state, self._dispatcher.call)
        self._requests = ClientRequests(state, self._store, self._clients)
        self._poller = Poller()
        for socket in (self._clients, self._workers):
            self._poller.watch(socket)
        self._supervisor_fds = self._channel.fds()
        for fd in self._supervisor_fds:
            self._poller.watch(fd)
        with self._store.transaction() as tx:
            self._dispatcher.recover(tx)
            self._confirmations.load(tx)
        failpoint("start")
        self.running = True

    def run_once(self, until: float = math.inf) -> None:
        """Wait for messages, until ``until`` (monotonic) at most; commit and answer them, do what is due."""
        ready = self._wait(until)
        now = time.monotonic()
        reports = self._inbox.collect() if self._workers in ready or self._inbox.deadline <= now else ()
        requests = self._requests.collect() if self._clients in ready else ()
        commit(self._store, [*reports, *requests])
        self._act_on_signals()
        if self._retention.deadline <= now:
            self._retention.run_once(self._store)
        if self._background.deadline <= now:
            self._background.run_once(self._store)
        self._store.run_once()
        for slot in self._dispatcher.take_overdue():
            self._channel.report({"replace": slot})
        if self._dispatcher.draining and self._dispatcher.idle:
            self._channel.report({"drained": True})

    def _wait(self, until: float) -> set[ServerSocket | int]:
        """Wait for the next message or deadline; obey signals and the supervisor. Return the readable sources."""
        timed = (
            self._requests,
            self._inbox,
            self._dispatcher,
            self._confirmations,
            self._retention,
            self._background,
            self._channel,
            self._store,
        )
        deadline = min(until, *map(_deadline_of, timed))
        ready = self._poller.wait(None if deadline == math.inf else deadline - time.monotonic())
        if self._signals is not None and self._signals.fd in ready and signal.SIGTERM in self._signals.take():
            self.running = False
        if ready.intersection(self._supervisor_fds):
            self._obey_supervisor()
        self._channel.beat()
        return ready

    def _act_on_signals(self) -> None:
        """Act on what was committed about jobs: stop and start them, answer the requests that wait for one."""
        signals = self.state.signals
        self._answer_waiting()
        if signals.to_stop:
            self._dispatcher.stop_jobs()
        self._dispatcher.assign_jobs(self._store)
        if signals.moved:  # requests may wait for a job to start
            self._answer_waiting()

    def _answer_waiting(self) -> None:
        """Decide confirmations, then answer the parked requests that can be answered."""
        signals, now = self.state.signals, time.monotonic()
        if signals.moved or self._confirmations.deadline <= now:
            self._confirmations.run_once(self._store)
        if signals.moved or self._requests.deadline <= now:
            moved, signals.moved = signals.moved, set()
            commit(self._store, self._requests.take_answerable(moved))

    def _obey_supervisor(self) -> None:
        order = self._channel.receive()
        if order is None:
            log.warning("the supervisor is gone")
            self.running = False
            return
        if "lost" in order:
            self._dispatcher.on_worker_death(order["lost"])
        if "restarts" in order:
            self.state.counters.restarts = order["restarts"]
        if order.get("drain"):
            self._dispatcher.draining = True
        if order.get("reload"):
            try:
                self._reload()
            except ValidationFailed as refused:
                log.error("%s", one_line(refused))

    def _on_worker(self) -> None:
        """A worker has connected, and its handlers are known: check the units with them."""
        self._reloader.find_faults()
        if not self._is_checked:
            self._is_checked = True
            self._reloader.check_units(self._report_ready)

    def _report_ready(self) -> None:
        """Tell the supervisor, and with it systemd, that units are checked and requests are answered."""
        with self._store.transaction() as tx:
            revision = tx.revision()
        message = {"units": len(self.state.units.units), "revision": revision, "endpoints": list(self._clients.uris)}
        self._channel.report({"ready": message})

    def _reload(self) -> None:
        """Load unit files, policy and keys again; raise `ValidationFailed` if there are errors, and change nothing."""
        self._channel.report({"reloading": True})
        try:
            self._reloader.reload()
        finally:
            self._channel.report({"reloading": False})

    def run_task(self, name: str, /, *args: object, **kwargs: object) -> Any:
        """Have the task ``name`` run and return its result; clients are served meanwhile.

        The manager answers the tasks that need the state, a worker runs the others. Raises `NotFound` if there is no
        task of this name, `HandlerFailed` with the worker's message if it failed.
        """
        if name in TASKS:
            return TASKS[name](self, *args, **kwargs)
        if name not in work.TASKS:
            raise NotFound(f"cannot run {name!r}: it is no task; there are {', '.join([*work.TASKS, *TASKS])}")
        results: list[Result] = []
        self._dispatcher.call(name, list(args), kwargs, results.append)
        self._dispatcher.assign_jobs(self._store)
        while not results:
            self.run_once()
        if results[0].state != JobState.SUCCEEDED:
            raise HandlerFailed(f"cannot run {name}: {results[0].error}")
        return results[0].value

    def answer(self, verb: str, **args: object) -> Reply:
        """Answer a request of this process itself; raise the error that a client would get."""
        return self.respond({"v": VERSION, "verb": verb, "args": args})

    def respond(self, payload: JsonObject) -> Reply:
        """Answer a decoded request, of today's form or the original's; raise the error that a client would get.

        Clients are served while it waits for a job.
        """
        route = find_route(payload)
        with self._store.transaction() as tx:
            context = RequestContext(self.state, tx, daemon_subject(str(os.getuid())), route.door)
            answer = route.endpoint.answer(context, route.request)
            if route.finish is not None and isinstance(answer, Reply):
                answer = route.finish(context, answer)
        while isinstance(answer, Deferred):
            self.state.signals.queue_changed = True
            self._act_on_signals()  # before the wait: nothing else would start or stop the job
            self.run_once(answer.until)
            with self._store.transaction() as tx:
                answer = answer.resume(tx)
        return answer.then(self._store) if isinstance(answer, AfterCommit) else answer
