"""`Endpoint`: one row of the manager's table."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

from lmaps.api import audit, authorize, changes, job_queue
from lmaps.api.context import Answer, Invocation, RequestContext
from lmaps.config.settings import SectionName
from lmaps.errors import Conflict, MessageRefused, NotAllowed, TooLarge
from lmaps.model.policy import RIGHTS, Right
from lmaps.model.schema import Schema
from lmaps.protocol import Reply, Request
from lmaps.util import jsonio
from lmaps.util.failpoints import failpoint
from lmaps.util.timelimit import TimeLimit

_TEXT = {"type": "string", "maxLength": 4096}
NUMBER: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": jsonio.INTEGERS[-1]}
"""What the database can count: JSON Schema calls 1e300 an integer too."""
WHY: dict[str, Any] = {"message": _TEXT, "ticket": _TEXT, "on_behalf_of": _TEXT}
"""What every request may say that changes something."""
WRITE: dict[str, Any] = WHY | {
    "if_rev": {"type": "string", "pattern": r"^r?\d{1,18}$"},
    "dry_run": {"type": "boolean", "default": False},
}
"""And under which condition: the unit is at this revision; nothing is to be kept."""
DURATION: dict[str, Any] = {"type": "string", "pattern": r"^\d+(\.\d+)?[smhd]$"}
RUN: dict[str, Any] = {"timeout": DURATION, "confirm": DURATION}
"""How a job is to run: ended after so long; undone unless it is confirmed within so long."""
_APPLY: dict[str, Any] = {"type": "object", "properties": RUN, "additionalProperties": False}
_DOCUMENTS = ("instances", "current", "undone")
"""The arguments that carry documents."""


@dataclass(frozen=True)
class Endpoint:
    """One row of the manager's table: what a request must look like, which right it takes, what it does.

    ``properties`` are the arguments as JSON Schema, ``required`` those that have no default. ``right`` has to be held
    within the ``scope``, and with it what ``also`` says for an argument that is given. A verb that writes takes `WRITE`
    too, runs in `writing`, and is remembered under its request's key; one that ``applies`` can queue a job after its
    change. A request ``about_oneself``, whose argument of this name is the subject, takes no right. The audit
    has a row for each request that changed something, each that ``reveal``s, and each of a verb that is ``audited``.
    """

    function: Callable[[Invocation], Answer]
    right: Right
    properties: Mapping[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    writes: bool = False
    applies: bool = False
    audited: bool = False
    scope: authorize.Scope = "named"
    also: Mapping[str, Right] = field(default_factory=dict)
    about_oneself: str | None = None

    def __post_init__(self) -> None:
        if not {self.right, *self.also.values()} <= set(RIGHTS):
            raise ValueError(f"a verb takes rights, and {self.right!r} or one of {dict(self.also)} is none")
        if self.scope == "named" and not authorize.NAMING & set(self.required):
            raise ValueError("a verb whose request names no unit takes its right on some units, or on every one")

    @cached_property
    def further_rights(self) -> dict[str, Right]:
        """The right that an argument takes beside the verb's own, if it is given."""
        return {**self.also, **({"apply": "apply"} if self.applies else {})}

    @property
    def definition(self) -> dict[str, Any]:
        """The JSON Schema of the verb's arguments."""
        return {
            "type": "object",
            "properties": {
                **self.properties,
                **(WRITE if self.writes else {}),
                **({"apply": _APPLY} if self.applies else {}),
            },
            "required": list(self.required),
            "additionalProperties": False,
        }

    @cached_property
    def schema(self) -> Schema:
        """The compiled schema, made when the verb is first called."""
        return Schema(self.definition)

    @cached_property
    def _integers(self) -> list[str]:
        """The arguments that are integers: JSON Schema takes 2.0 for one."""
        return [name for name, part in self.definition["properties"].items() if "integer" in part.get("type", ())]

    def answer(self, visit: RequestContext, request: Request) -> Answer:
        """Run the verb; a writing request whose key is known gets the answer that it got before."""
        try:
            return self._answer(visit, request)
        except NotAllowed as refused:
            audit.keep_denial(visit, request, refused)
            raise

    def _answer(self, visit: RequestContext, request: Request) -> Answer:
        limit = self._limit(visit)
        args = self._arguments(request, limit)
        call = Invocation(**vars(visit), verb=request.verb, args=args, key=request.key, limit=limit)
        failpoint("valid")
        self._admit(call)
        _count_documents(call)
        if not self.writes:
            answer = self.function(call)
            self._audit(call, answer)
            return answer
        if request.key is None or call.args["dry_run"]:
            return self._written(call)
        told = [request.verb, request.args, visit.subject.id]
        digest = sha256(jsonio.canonical(told).encode()).hexdigest()
        kept = visit.tx.requests.find(request.key)
        if kept is None:
            reply = self._written(call)
            unit = call.args.get("unit")
            visit.tx.requests.add(request.key, digest, request.verb, unit, reply.text, reply.revision)
            return reply
        if kept.digest != digest:
            raise Conflict(f"cannot {request.verb}: the key {request.key} was used for another request")
        return Reply.from_json(json.loads(kept.answer))

    def _limit(self, visit: RequestContext) -> TimeLimit:
        section: SectionName = "import" if self.right == "import" else "message"
        return TimeLimit(visit.manager.config.limits.section(section).validation, f"limits.{section}.validation")

    def _admit(self, call: Invocation) -> None:
        if self.about_oneself is not None and authorize.is_oneself(call, call.args[self.about_oneself]):
            return
        further = [right for name, right in self.further_rights.items() if call.args.get(name) not in (None, False, [])]
        authorize.admit(call, [self.right, *further], self.scope)

    def _written(self, call: Invocation) -> Reply:
        """The answer of a verb that writes, with the job that was asked for."""
        reply = changes.run(call, self.function)
        told = call.args.get("apply")
        if told is not None and not call.args["dry_run"]:
            job = job_queue.queue(replace(call, args={**call.args, **told}), call.usable_unit)
            reply = replace(reply, extra=reply.extra | {"job": job_queue.told(call, job)}, job=job.id)
        self._audit(call, reply)
        return reply

    def _audit(self, call: Invocation, answer: Answer) -> None:
        if call.tx.wrote or self.audited or call.args.get("reveal"):
            audit.keep(call, answer)

    def _arguments(self, request: Request, limit: TimeLimit) -> dict[str, Any]:
        arguments: dict[str, Any] = self.schema.apply_defaults(request.args)
        if not self.schema.fits(arguments):
            wrong = limit.run(request.verb, self.schema.findings, arguments)
            told = "; ".join(f"{finding.path} {finding.message}" for finding in wrong[:3])
            if wrong:
                raise MessageRefused(f"cannot {request.verb}: {told}", errors=wrong)
        whole = {name: int(arguments[name]) for name in self._integers if isinstance(arguments.get(name), float)}
        return arguments | whole if whole else arguments


def _count_documents(call: Invocation) -> None:
    """Refuse a request with more documents than its subject may send at once."""
    args, limits = call.args, call.manager.config.limits
    carrying = [args, *(each for each in args.get("units", ()) if isinstance(each, dict))]
    lists = [each[name] for each in carrying for name in _DOCUMENTS if isinstance(each.get(name), list)]
    count = sum(map(len, lists))
    if count <= limits.message.documents:
        return
    section = call.manager.section(call.subject)
    most = limits.section(section).documents
    if count > most:
        raise TooLarge(
            f"cannot {call.verb}: {count:,} documents, {most:,} is the most (limits.{section}.documents)",
            hint="split them over several requests",
        )
