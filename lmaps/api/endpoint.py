"""`Endpoint`: one thing that clients may ask for, and the way of every request through it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from lmaps.api import audit, authorize, changes, kept_answers
from lmaps.api.arguments import NO_WRITE, Reader, Write, WriteAndApply
from lmaps.api.context import Answer, Invocation, RequestContext
from lmaps.config.settings import SectionName
from lmaps.errors import MessageRefused, NotAllowed, TooLarge
from lmaps.model.policy import EVERY_UNIT, RIGHTS, Right
from lmaps.protocol import Reply, Request
from lmaps.util.failpoints import failpoint
from lmaps.util.jsonio import JsonObject
from lmaps.util.timelimit import TimeLimit

_DOCUMENTS = ("instances", "current", "undone")
"""The arguments that carry documents."""
_Function = Callable[[Invocation, Any], Any]
"""It returns an `Answer`; of a write, a `changes.Proposal` or a `Reply`."""
_Show = Callable[[Invocation, Any, Reply], object]
"""It returns the value of a field of an answer, from the arguments and the answer without it; None if it has none."""
_Endpoint = TypeVar("_Endpoint", bound=_Function)


@dataclass(frozen=True)
class Endpoint:
    """One thing that clients may ask for: the class of its arguments, the right that it takes, what it does.

    ``right`` has to be held within the ``scope``; ``also`` has the further right of an argument, if it is given. A
    request whose arguments are a `Write` runs in `changes.run`, and is remembered under its key; one with
    `WriteAndApply` can queue a job after its change. A request ``about_oneself``, whose argument of this name is the
    subject, takes no right. The audit has a row for each request that changed something, each that ``reveal``s, and
    each of an endpoint that is ``audited``. ``action`` says in messages what the endpoint does.

    ``shows`` has the fields of a write's answer that have documents, each with the function that makes it. They are
    added last, for subjects with the right ``show`` alone, and no answer is kept with them: so they are the same
    whether the answer is new or a kept one, and follow the rights and the marks of secrets of now.
    """

    name: str
    function: _Function
    arguments: type[object]
    right: Right
    scope: authorize.Scope = "named"
    also: Mapping[str, Right] = field(default_factory=dict)
    audited: bool = False
    about_oneself: str | None = None
    action: str = ""
    shows: Mapping[str, _Show] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not {self.right, *self.also.values()} <= set(RIGHTS):
            raise ValueError(f"{self.name}: {self.right!r} or one of {dict(self.also)} is not one of the rights")
        if self.scope == "named" and authorize.NAMING.isdisjoint(self.reader.required):
            raise ValueError(f"{self.name}: a request that names no unit takes its right on some units, or on all")

    @cached_property
    def reader(self) -> Reader[Any]:
        """What checks and reads the arguments."""
        return Reader(self.arguments)

    @property
    def definition(self) -> JsonObject:
        """The JSON Schema of the arguments."""
        return self.reader.definition

    @cached_property
    def writes(self) -> bool:
        """Whether it changes something."""
        return issubclass(self.arguments, Write)

    @cached_property
    def further_rights(self) -> dict[str, Right]:
        """The right that an argument takes beside the endpoint's own, if it is given."""
        return {**self.also, **({"apply": "apply"} if issubclass(self.arguments, WriteAndApply) else {})}

    @cached_property
    def _naming(self) -> str | None:
        """The argument that names units, or leads to them."""
        return next((name for name in ("job", "key", "unit", "units") if name in self.reader.names), None)

    @cached_property
    def _takes_documents(self) -> bool:
        return not self.reader.names.isdisjoint(("units", *_DOCUMENTS))

    @cached_property
    def _section(self) -> SectionName:
        return "import" if self.right == "import" else "message"

    def answer(self, visit: RequestContext, request: Request) -> Answer:
        """Answer a request; a write whose key is known gets the answer that it got before.

        Raises `MessageRefused` for arguments that do not fit the schema, `NotAllowed` for a subject that lacks a right,
        and whatever the endpoint's function does.
        """
        try:
            limits = visit.manager.config.limits
            limit = TimeLimit(limits.section(self._section).validation, f"limits.{self._section}.validation")
            if not self.reader.schema.fits(request.args):
                self._refuse(request, limit)
            arguments = self.reader.read(request.args)
            named = getattr(arguments, self._naming, None) if self._naming in ("unit", "units") else None
            units = (named,) if isinstance(named, str) else [authorize.name_of(unit) for unit in named or ()]
            ctx = Invocation(
                **vars(visit),
                verb=self.name,
                action=self.action,
                units=units,
                write=arguments if self.writes else NO_WRITE,
                key=request.key,
                reveals=getattr(arguments, "reveal", False),
                limit=limit,
            )
            failpoint("valid")
            self._admit(ctx, arguments)
            if self._takes_documents:
                _count_documents(ctx, arguments)
            if self.writes and request.key is not None and not ctx.write.dry_run:
                return self._answer_once(ctx, request.key, request, arguments)
            answer: Answer = (
                changes.run(ctx, self.function, arguments) if self.writes else self.function(ctx, arguments)
            )
            if ctx.tx.session.wrote or self.audited or ctx.reveals:
                audit.record(ctx, arguments, answer)
            return self._with_documents(ctx, arguments, answer) if isinstance(answer, Reply) else answer
        except NotAllowed as refused:
            audit.record_denial(visit, request, refused)
            raise

    def _refuse(self, request: Request, limit: TimeLimit) -> None:
        """Raise what is wrong with the arguments, if anything is: what does not fit at once may fit all the same."""
        findings = limit.run(f"check the arguments of {self.name}", self.reader.schema.findings, request.args)
        if findings:
            text = "; ".join(f"{finding.path} {finding.message}" for finding in findings[:3])
            raise MessageRefused(f"cannot read the arguments of {self.name}: {text}", errors=findings)

    def _admit(self, ctx: Invocation, arguments: Any) -> None:
        if self.about_oneself is not None and authorize.is_oneself(ctx, getattr(arguments, self.about_oneself)):
            return
        rights = [self.right]
        for name, right in self.further_rights.items():
            if getattr(arguments, name) not in (None, False, []):
                rights.append(right)
        if self.scope == "every":
            units: Sequence[str] = (EVERY_UNIT,)
        elif self._naming == "job":
            units = [authorize.unit_of_job(ctx, arguments.job, rights)]
        elif self._naming == "key":
            units = authorize.units_of_key(ctx, arguments.key, rights)
        else:
            units = ctx.units
        authorize.admit(ctx, rights, units)

    def _answer_once(self, ctx: Invocation, key: str, request: Request, arguments: object) -> Reply:
        """Answer a write under its key, or as it was answered under this key before."""
        digest = kept_answers.digest_of(ctx, request)  # once: the documents may be many
        kept = kept_answers.find(ctx, key, request, digest)
        if kept is not None:
            return self._with_documents(ctx, arguments, kept.reply(ctx))
        reply = changes.run(ctx, self.function, arguments)
        if ctx.tx.session.wrote:
            audit.record(ctx, arguments, reply)
        kept_answers.keep(ctx, key, digest, getattr(arguments, "unit", None), reply)
        return self._with_documents(ctx, arguments, reply)

    def _with_documents(self, ctx: Invocation, arguments: object, reply: Reply) -> Reply:
        """Return the answer with the fields that `shows` declares, if the subject may see documents of its units."""
        if not self.shows or ctx.write.dry_run or not all(ctx.may(unit, "show") for unit in ctx.units):
            return reply
        values = {name: make(ctx, arguments, reply) for name, make in self.shows.items()}
        return replace(reply, extra=reply.extra | {name: value for name, value in values.items() if value is not None})


def _count_documents(ctx: Invocation, arguments: object) -> None:
    """Raise `TooLarge` for more documents than the subject may send at once."""
    limits = ctx.manager.config.limits
    parts = [arguments, *getattr(arguments, "units", ())]
    documents = [getattr(part, name, None) for part in parts for name in _DOCUMENTS]
    count = sum(len(part) for part in documents if isinstance(part, list))
    if count <= limits.message.documents:
        return
    section = ctx.manager.section(ctx.subject)
    most = limits.section(section).documents
    if count > most:
        raise TooLarge(
            f"{count:,} documents are too many for one request, {most:,} is the most (limits.{section}.documents)",
            hint="split them over several requests",
        )


ENDPOINTS: dict[str, Endpoint] = {}
"""Every endpoint by its name. `lmaps.api.registry` imports them all; whoever needs the table takes it from there."""


def endpoint(
    name: str,
    *,
    right: Right,
    scope: authorize.Scope = "named",
    also: Mapping[str, Right] | None = None,
    audited: bool = False,
    about_oneself: str | None = None,
    action: str | None = None,
    shows: Mapping[str, _Show] | None = None,
) -> Callable[[_Endpoint], _Endpoint]:
    """Enter a function into the table. Its parameter ``request`` is annotated with the class of its arguments.

    The first line of its docstring is its text in the reference. See `Endpoint` for the others.
    """

    def register(function: _Endpoint) -> _Endpoint:
        kind = function.__annotations__["request"]
        words = action or name.replace("_", " ")
        ENDPOINTS[name] = Endpoint(
            name, function, kind, right, scope, also or {}, audited, about_oneself, words, shows or {}
        )
        return function

    return register
