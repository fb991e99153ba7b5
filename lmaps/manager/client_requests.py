"""Requests of clients: taken from the socket, answered as part of a group, or parked until a job has moved."""

import logging
import math
import time
from collections.abc import Collection
from typing import NamedTuple

from lmaps.api import legacy
from lmaps.api.registry import ENDPOINTS, AfterCommit, Answer, Deferred, Endpoint, ManagerState, RequestContext
from lmaps.config import limits
from lmaps.config.settings import SectionName
from lmaps.errors import Busy, LmapsError, MessageRefused, NotFound, StoreError, TookTooLong, TooLarge
from lmaps.manager.fair_share import FairShare, account_of
from lmaps.model.states import Door
from lmaps.protocol import Reply, Request
from lmaps.store import DATABASE_ERRORS, Store, Transaction
from lmaps.transport.server import Incoming, ServerSocket
from lmaps.util.failpoints import failpoint
from lmaps.util.jsonio import JsonObject
from lmaps.util.logs import log_context
from lmaps.util.text import nearest

log = logging.getLogger(__name__)

GROUP_REQUESTS = 256
GROUP_BYTES = 1024 * 1024
"""A group takes no more requests, and no more bytes, than this; a larger request goes alone."""


class Route(NamedTuple):
    """The endpoint that a request names, and the request as the endpoint reads it.

    ``finish`` turns the reply into the original's form; None for a request of today's form.
    """

    endpoint: Endpoint
    request: Request
    door: Door
    finish: legacy.Finish | None = None


def find_route(payload: JsonObject) -> Route:
    """Return the route of a decoded request, of today's form or the original's.

    Raises `MessageRefused` for a request of neither form, `NotFound` for a name that is not in the table.
    """
    if "v" in payload:
        request, finish = Request.decode(payload), None
        door = (
            Door.CLI if request.door == Door.CLI else Door.API
        )  # a client may not claim to be the timer, or the original
    else:
        translated = legacy.translate(payload)
        request, finish = translated.request, translated.finish
        door = Door.LEGACY
    endpoint = ENDPOINTS.get(request.verb)
    if endpoint is None:
        near = nearest(request.verb, ENDPOINTS)
        raise NotFound(
            f"there is no endpoint {request.verb[:64]!r}" + (f"; did you mean {near}?" if near else ""),
        )
    return Route(endpoint, request, door, finish)


class ClientRequests:
    """Takes requests from the clients' socket, sends their answers, and keeps those that wait for a job."""

    def __init__(self, manager: ManagerState, store: Store, clients: ServerSocket) -> None:
        self.manager = manager
        self.store = store
        self.authenticator = clients.authenticator
        self.share = FairShare(manager)
        self.deadline = math.inf
        """When the first parked request's time is over (monotonic), infinity if there is none."""
        self._clients = clients
        self._parked: list[tuple[Deferred, ClientRequest]] = []

    def collect(self) -> list["ClientRequest"]:
        """Return the requests that wait at the socket, as many as make one group; refuse those that cannot be read."""
        group: list[ClientRequest] = []
        counters = self.manager.counters
        size = 0
        # Refused requests count towards the group: a client that floods must not keep the others waiting.
        for _ in range(GROUP_REQUESTS):
            incoming = self._clients.receive() if size < GROUP_BYTES else None
            if incoming is None:
                break
            failpoint("recv")
            size += len(incoming.body)
            try:
                request = ClientRequest(self, incoming)
            except MessageRefused as refused:
                self.send(incoming, Reply.refusal(refused).encode(), refused.code)
                continue
            if request.account is not None and (busy := self.share.enter(request.account)):
                request.refuse(busy)
            else:
                group.append(request)
        if group:
            counters.groups += 1
            counters.group_largest = max(counters.group_largest, len(group))
        counters.dropped, counters.connections_refused = self._clients.dropped, self.authenticator.refused
        return group

    def send(self, incoming: Incoming, body: bytes, code: str | None) -> None:
        """Send the answer to the request that came as ``incoming``; ``code`` is that of a refusal."""
        counters = self.manager.counters
        counters.requests += 1
        counters.refused += code is not None
        counters.busy += code == Busy.code
        self._clients.send(incoming.identity, body)

    def park(self, deferred: Deferred, request: "ClientRequest") -> None:
        """Keep a request whose answer is not there yet."""
        self._parked.append((deferred, request))
        self.deadline = min(self.deadline, deferred.until)

    def take_answerable(self, moved: Collection[int]) -> list["ClientRequest"]:
        """Return the parked requests whose job is among ``moved`` or whose time is over, and park them no longer."""
        now = time.monotonic()
        waiting, answerable = [], []
        for deferred, request in self._parked:
            if deferred.job in moved or deferred.until <= now:
                answerable.append(request)
            else:
                waiting.append((deferred, request))
        self._parked = waiting
        self.deadline = min((deferred.until for deferred, _ in waiting), default=math.inf)
        return answerable


class ClientRequest:
    """One client's request, as part of a group."""

    def __init__(self, requests: ClientRequests, incoming: Incoming) -> None:
        """Read the request; raise `MessageRefused` if it cannot be read."""
        manager, peer = requests.manager, incoming.peer
        section: SectionName = "message"
        if not limits.fits(incoming.body, manager.config.limits.message):
            # Most messages are small enough for every client; only for larger ones the rights are looked up.
            section = manager.section(manager.policy.subject(peer.uid, peer.gid, peer.key))
        self._requests = requests
        self._incoming = incoming
        self.account = account_of(peer) if manager.bounds(peer.uid) else None
        self._payload = limits.read(incoming.body, manager.config.limits, section)
        request_id = self._payload.get("id")
        self._id = request_id if isinstance(request_id, str) else None
        self._arrived = time.monotonic()
        self._deferred: Deferred | None = None
        self._overdue: TookTooLong | None = None
        self._answer: Answer = Reply("")
        self._body = b""

    def run(self, tx: Transaction) -> None:
        """Have the endpoint answer.

        An error that has left nothing in the transaction is an answer too; any other one undoes the group.
        """
        self._requests.manager.beat()  # each: a group together may take longer than the supervisor waits
        self._context = context = self._new_context(tx)
        with log_context(request=self._id, subject=context.subject.name):
            begin = time.monotonic()
            try:
                if self._overdue is not None:
                    raise self._overdue  # the group is run again: this request would take as long again
                if self._deferred is not None:
                    self._answer = self._deferred.resume(tx)
                else:
                    if self.account is not None:
                        self._requests.share.expect_quick(self.account)
                    route = find_route(self._payload)
                    context.door = route.door
                    answer = route.endpoint.answer(context, route.request)
                    if route.finish is not None and isinstance(answer, Reply):
                        answer = route.finish(context, answer)
                    self._answer = answer
                if isinstance(self._answer, Reply):
                    # Before the commit: an answer that is too large to be sent must undo what it tells of.
                    self._body = self._encode(self._answer)
            except LmapsError as error:
                self._on_error(error, tx, time.monotonic() - begin)
            except DATABASE_ERRORS:
                raise  # the store turns them into a `StoreError`
            except Exception as error:  # the edge: whatever one request meets, the others go on
                log.exception("request failed")
                raise LmapsError("cannot answer: an internal error, written to the daemon's log") from error

    def _on_error(self, error: LmapsError, tx: Transaction, seconds: float) -> None:
        """Make ``error`` the answer, after so many seconds; raise it if the group has to be undone.

        An error of the database undoes the group as well: what it means depends on whether the database can be opened
        again, which the store tries.
        """
        log.debug("refused: %s", error.code)
        if isinstance(error, TookTooLong) and self._overdue is None:
            self._overdue = error
            if self.account is not None:
                self._requests.share.penalize(self.account, seconds)
        if tx.session.wrote or isinstance(error, StoreError):
            raise error
        self._refuse(error)

    def _new_context(self, tx: Transaction) -> RequestContext:
        """Return the context of the request: its subject is the one that the socket has proved."""
        peer, manager = self._incoming.peer, self._requests.manager
        subject = manager.policy.subject(peer.uid, peer.gid, peer.key)
        if not self._requests.authenticator.is_authorized(
            peer
        ):  # a reload has taken its key away while it was connected
            subject = subject._replace(proofs=frozenset())
        return RequestContext(manager, tx, subject, arrived=self._arrived)

    def _encode(self, reply: Reply) -> bytes:
        """Return the body of an answer; raise `TooLarge` if it has more bytes than an answer may have."""
        body = reply.encode(self._id)
        most = self._requests.manager.config.limits.reply
        if len(body) > most:
            reason = f"the answer has {len(body):,} bytes, {most:,} is the most (limits.reply)"
            raise TooLarge(f"cannot answer: {reason}; nothing was changed", hint="request a smaller part at once")
        return body

    def settle(self) -> None:
        """Send the answer, or park the request; then log what it has added to the audit."""
        if isinstance(self._answer, AfterCommit):
            self._answer_after_commit(self._answer)
        if isinstance(self._answer, Deferred):
            self._deferred = self._answer
            self._requests.park(self._answer, self)
            self._requests.manager.signals.queue_changed = True
        elif isinstance(self._answer, Reply):
            self._requests.manager.signals.queue_changed |= self._answer.job is not None
            self._send(self._answer.code)
        for entry in self._context.audited:
            with log_context(
                request=self._id,
                subject=entry.subject,
                on_behalf_of=entry.on_behalf_of,
                door=entry.door,
                verb=entry.verb,
                unit=entry.unit,
                key=entry.request_key,
                revision=entry.revision,
                job=entry.job,
                suppressed=entry.suppressed or None,
            ):
                log.info("request done" if entry.outcome == "ok" else "request denied")

    def _answer_after_commit(self, after: AfterCommit) -> None:
        """Make the answer that cannot be made within a transaction."""
        try:
            self._answer = after.then(self._requests.store)
            self._body = self._encode(self._answer)
        except LmapsError as error:
            self._refuse(error)

    def refuse(self, busy: Busy) -> None:
        """Answer that the client has too many requests in flight; this one was not counted."""
        self._refuse(busy)
        self._requests.send(self._incoming, self._body, busy.code)

    def fail(self, error: LmapsError) -> None:
        """Answer that nothing of it was kept."""
        self._refuse(error)
        self._send(error.code)

    def _refuse(self, error: LmapsError) -> None:
        self._answer = Reply.refusal(error, self._id)
        self._body = self._answer.encode()

    def _send(self, code: str | None) -> None:
        if self.account is not None:
            self._requests.share.leave(self.account)
        self._requests.send(self._incoming, self._body, code)
