"""The manager's loop: hear clients, workers and the supervisor, commit, answer, give out work."""

import contextlib
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

from lmaps.api.registry import AfterCommit, Deferred, ManagerState, RequestContext
from lmaps.api.unit_status import handler_faults
from lmaps.config import Config, default_policy
from lmaps.errors import ConfigError, Finding, HandlerFailed, NotFound, ValidationFailed
from lmaps.manager.background import BackgroundChecks
from lmaps.manager.client_requests import ClientRequests, find_route
from lmaps.manager.confirmations import Confirmations
from lmaps.manager.dispatcher import Dispatcher
from lmaps.manager.group_commit import commit
from lmaps.manager.retention import Retention
from lmaps.manager.tasks import TASKS
from lmaps.manager.worker_messages import WorkerInbox
from lmaps.model.policy import Policy, itself, load_policy
from lmaps.model.states import JobState
from lmaps.model.units import load_units
from lmaps.protocol import VERSION, Reply, work
from lmaps.protocol.work import Result
from lmaps.store import Sealer, Store, open_store, read_key
from lmaps.transport.addresses import is_tcp
from lmaps.transport.bind import BoundSocket, bind_sockets
from lmaps.transport.curve import ServerKeys, read_authorized_keys, read_server_keys
from lmaps.transport.server import Poller, ServerSocket, listening
from lmaps.transport.zap import CLIENT_DOMAIN, WORKER_DOMAIN, ZapAuthenticator
from lmaps.transport.zmq_client import NO_SECRET
from lmaps.util.failpoints import failpoint
from lmaps.util.heartbeat import SupervisorChannel
from lmaps.util.ownership import check_owned
from lmaps.util.signals import SignalQueue, queued_signals
from lmaps.util.text import plural
from lmaps.util.timelimit import alarm_handler

log = logging.getLogger(__name__)


def told(refused: ValidationFailed) -> str:
    """An error and all its findings in one line of the log."""
    return "; ".join([refused.message, *(f"{finding.place} {finding.message}" for finding in refused.errors)])


class ManagerSockets(NamedTuple):
    """Where others come in, and what this process had to have all its rights for.

    Workers have to know the ``secret``; the ``keys`` are for what is bound at tcp; ``sealer`` is for the state.
    """

    clients: list[BoundSocket]
    workers: list[BoundSocket]
    secret: str = NO_SECRET
    keys: ServerKeys | None = None
    sealer: Sealer | None = None


def bind_manager_sockets(
    config: Config, worker_endpoint: str, secret: str = NO_SECRET, group: int | None = None
) -> ManagerSockets:
    """The sockets of a manager, bound; nobody is served yet. The clients' ones are for ``group`` too.

    Raises what `bind_sockets`, `read_server_keys` and `read_key` do.
    """
    rpc = config["rpc"]
    keys = read_server_keys(rpc["server_key"], rpc["authorized_keys"], config["uid"]) if _is_remote(config) else None
    if config["state_key"]:
        check_owned(config["state_key"], config["uid"], "the state_key")
    sealer = Sealer(read_key(config["state_key"])) if config["state_key"] else None
    return ManagerSockets(
        bind_sockets(rpc["manager_bind"], group), bind_sockets([worker_endpoint]), secret, keys, sealer
    )


def _is_remote(config: Config) -> bool:
    """Whether clients are served at tcp."""
    return any(map(is_tcp, config["rpc"]["manager_bind"]))


class Manager:
    """Listens to clients, keeps the state, and has workers run what takes time.

    It is to be made and started in one process.
    """

    def __init__(
        self,
        worker_endpoint: str,
        config: Config,
        boot_id: str,
        channel: SupervisorChannel | None = None,
        doors: ManagerSockets | None = None,
        *,
        state_opened: bool = False,
    ) -> None:
        """``worker_endpoint`` is the URI that workers connect to, ``boot_id`` names the daemon that has started this.

        ``channel`` and ``doors`` come from a supervisor; without doors the manager binds its sockets itself. The
        state is not checked again if a manager of the same daemon has opened it before (``state_opened``).
        """
        self.running = False
        self._worker_endpoint = worker_endpoint
        self._owner = config["uid"]
        self._channel = channel or SupervisorChannel()
        self._doors = doors
        self._state_opened = state_opened
        self.service = ManagerState(
            config=config,
            units=load_units(config),
            boot_id=boot_id,
            policy=load_policy(config["policy"], self._owner),
            supervisor=os.getppid() if self._channel.fds() else None,
            reload=self._reload,
            beat=self._channel.beat,
        )
        for refused in self.service.units.errors:
            log.error("%s", told(refused))
        self._signals: SignalQueue | None = None
        self._checked = False
        self._found_by_handlers: dict[str, list[Finding]] = {}

    def start(self) -> None:
        """Open the state, listen, and serve until SIGTERM or until the supervisor is gone."""
        with self.serving(), queued_signals([signal.SIGTERM]) as self._signals:
            self._poller.watch(self._signals.fd)
            while self.running:
                self.turn()

    @contextlib.contextmanager
    def serving(self) -> Iterator[Self]:
        """Within the block the state is open and clients can connect; they are served by `turn` and `run_task`."""
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
        config = self.service.config
        doors = self._doors or bind_manager_sockets(config, self._worker_endpoint)
        self._authenticator = ZapAuthenticator(config["uid"], doors.secret, config["limits"]["connections"], doors.keys)
        self._clients = ServerSocket(self._authenticator, CLIENT_DOMAIN, doors.clients)
        self._workers = ServerSocket(self._authenticator, WORKER_DOMAIN, doors.workers)
        self._store: Store = open_store(config["db"], doors.sealer, self._channel.beat, known=self._state_opened)
        self._dispatcher = Dispatcher(self.service, self._workers, self._heard)
        self._hearing = WorkerInbox(self._workers, self._dispatcher)
        self._housekeeping = Retention()
        self._looking = BackgroundChecks(self.service)
        self._confirmations = Confirmations(self.service, self._dispatcher.call)
        self._desk = ClientRequests(self.service, self._store, self._clients)
        self._poller = Poller()
        for source in (self._clients, self._workers):
            self._poller.watch(source)
        for fd in self._channel.fds():
            self._poller.watch(fd)
        with self._store.transaction() as tx:
            self._dispatcher.recover(tx)
            self._confirmations.look(tx)
        failpoint("start")
        self.running = True

    def turn(self, until: float = math.inf) -> None:
        """Wait, until ``until`` (monotonic) at most; commit what has come, answer, give out work."""
        due = min(self._desk.next_due, self._dispatcher.next_due, self._confirmations.next_due)
        due = min(due, self._housekeeping.next_due, self._channel.deadline, self._store.next_due)
        due = min(due, self._hearing.next_due, self._looking.next_due, until)
        ready = self._poller.wait(None if due == math.inf else due - time.monotonic())
        if self._signals is not None and signal.SIGTERM in self._signals.take():
            self.running = False
        if ready.intersection(self._channel.fds()):
            self._hear_supervisor()
        self._channel.beat()
        told = self._hearing.collect(heard=self._workers in ready)
        asked = self._desk.collect() if self._clients in ready else []
        commit(self._store, [*told, *asked])
        self._act_on_signals()
        self._housekeeping.turn(self._store)
        self._looking.turn(self._store)
        self._store.turn()
        for slot in self._dispatcher.overdue():
            self._channel.report({"replace": slot})
        if self._dispatcher.draining and self._dispatcher.idle:
            self._channel.report({"drained": True})

    def _act_on_signals(self) -> None:
        """Act on what was committed about jobs: start and stop them, answer the requests that wait for one."""
        self._answer_waiting()
        self._dispatcher.stop_jobs()
        self._dispatcher.fill(self._store)
        self._answer_waiting()  # those that wait for a job to start

    def _answer_waiting(self) -> None:
        signals = self.service.signals
        self._confirmations.turn(self._store, moved=bool(signals.moved))
        moved, signals.moved = signals.moved, set()
        commit(self._store, self._desk.due(moved))

    def _hear_supervisor(self) -> None:
        order = self._channel.receive()
        if order is None:
            log.warning("the supervisor is gone")
            self.running = False
            return
        if "lost" in order:
            self._dispatcher.lose(order["lost"])
        if "restarts" in order:
            self.service.counters["restarts"] = order["restarts"]
        if order.get("drain"):
            self._dispatcher.draining = True
        if order.get("reload"):
            try:
                self._reload()
            except ValidationFailed as refused:
                log.error("%s", told(refused))

    def _heard(self) -> None:
        """A worker said hello: with what it knows of handlers, look at the units."""
        self._find_faults()
        if not self._checked:
            self._checked = True
            self._check_units(self._tell_ready)

    def _tell_ready(self) -> None:
        with self._store.transaction() as tx:
            revision = tx.revision()
        news = {"units": len(self.service.units.units), "revision": revision, "endpoints": list(self._clients.uris)}
        self._channel.report({"ready": news})

    def _reload(self) -> None:
        """Load unit files, policy and keys anew; `ValidationFailed` lists every error, and what was in use stays."""
        self._channel.report({"reloading": True})
        try:
            self._swap()
        finally:
            self._channel.report({"reloading": False})

    def _swap(self) -> None:
        loaded = load_units(self.service.config)
        findings = [finding for error in loaded.errors for finding in error.errors]
        policy, authorized = self._load_policy(findings), self._load_keys(findings)
        findings += [fault for unit in loaded.units.values() for fault in handler_faults(self.service, unit)]
        if findings:
            raise ValidationFailed("cannot reload: units, policy and keys in use stay as they are", errors=findings)
        failpoint("reload.before_swap")
        self.service.units, self.service.policy, self._authenticator.authorized = loaded, policy, authorized
        failpoint("reload.after_swap")
        self._found_by_handlers = {}
        self._find_faults()
        self._check_units(lambda: None)
        log.info("reloaded %s", plural(len(loaded.units), "unit"))

    def _load_policy(self, findings: list[Finding]) -> Policy:
        """The policy as it stands now; the one in use if it has faults, which join the ``findings``."""
        file = self.service.config["policy"] or default_policy(self._owner)
        try:
            return load_policy(file, self._owner)
        except ConfigError as refused:
            findings += refused.errors or [Finding(refused.message, file=file)]
            return self.service.policy

    def _load_keys(self, findings: list[Finding]) -> frozenset[str]:
        """The clients' keys as they stand now; those in use if there are faults, which join the ``findings``."""
        directory = self.service.config["rpc"]["authorized_keys"]
        try:
            return read_authorized_keys(directory, self._owner) if _is_remote(self.service.config) else frozenset()
        except ConfigError as refused:
            findings += refused.errors or [Finding(refused.message, file=directory)]
            return self._authenticator.authorized

    def _find_faults(self) -> None:
        found = {unit.name: handler_faults(self.service, unit) for unit in self.service.units.units.values()}
        known = {name: findings for name, findings in found.items() if findings}
        self.service.faults = self._found_by_handlers | known

    def _check_units(self, then: Callable[[], None]) -> None:
        """Let a worker have each handler look at its units: the manager loads no plugin."""

        def keep(result: Result) -> None:
            if result.value is not None:
                found = result.value.items()
                self._found_by_handlers = {name: [Finding.from_json(each) for each in told] for name, told in found}
                self._find_faults()
            then()

        self._dispatcher.call("check_units", [], {}, keep)

    def run_task(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Have the task ``name`` run and return its result; others are served meanwhile.

        The manager answers the tasks that need the state, a worker runs the others. Raises `NotFound` if there is no
        task of this name, `HandlerFailed` with the worker's words if it failed.
        """
        if name in TASKS:
            return TASKS[name](self, *args, **kwargs)
        if name not in work.TASKS:
            raise NotFound(f"cannot run {name!r}: it is no task; there are {', '.join([*work.TASKS, *TASKS])}")
        results: list[Result] = []
        self._dispatcher.call(name, list(args), kwargs, results.append)
        self._dispatcher.fill(self._store)
        while not results:
            self.turn()
        if results[0].state != JobState.SUCCEEDED:
            raise HandlerFailed(f"cannot run {name}: {results[0].error}")
        return results[0].value

    def answer(self, verb: str, **args: Any) -> Reply:
        """Answer a request of this process itself; raise what a client would be told."""
        return self.respond({"v": VERSION, "verb": verb, "args": args})

    def respond(self, payload: dict[str, Any]) -> Reply:
        """Answer a decoded request, of today's form or the original's; raise what a client would be told.

        Others are served while it waits for a job.
        """
        with self._store.transaction() as tx:
            visit = RequestContext(self.service, tx, itself(str(os.getuid())))
            route = find_route(visit, payload)
            answer = route.finished(visit, route.endpoint.answer(visit, route.request))
        while isinstance(answer, Deferred):
            self.service.signals.queue_changed = True
            self._act_on_signals()  # before the wait: nothing else would start or stop the job
            self.turn(answer.until)
            with self._store.transaction() as tx:
                answer = answer.resume(tx)
        return answer.then(self._store) if isinstance(answer, AfterCommit) else answer
