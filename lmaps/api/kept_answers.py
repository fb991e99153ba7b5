"""Answers to writes that are kept under the keys of their requests, so that a repeated request happens once.

A key belongs to the subject that used it: for every other subject nothing is kept under it, whoever used it before. No
answer is kept with documents (`Endpoint.shows`).
"""

import json
from dataclasses import dataclass
from hashlib import blake2b, sha256

from lmaps.api import job_queue
from lmaps.api.context import Invocation
from lmaps.errors import Conflict, StateUnusable
from lmaps.protocol import Reply, Request
from lmaps.store import StoredRequest
from lmaps.store.requests import OWN
from lmaps.util import jsonio
from lmaps.util.jsonio import JsonObject

_DOCUMENTS = ("removing", "before", "after")
"""Fields with documents in the answers that an older lMaPS has kept."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer that is kept, as the store has it."""

    row: StoredRequest

    @property
    def units(self) -> list[str]:
        """The units that the request changed; an import's answer names all of its units."""
        if self.row.unit is not None:
            return [self.row.unit]
        extra = json.loads(self.row.answer)["extra"]
        return [*extra.get("units", ()), *(row["unit"] for row in extra.get("instances", ()))]

    def payload(self, ctx: Invocation) -> JsonObject:
        """Return the answer as data, with what the subject may see of it now."""
        payload: JsonObject = json.loads(self.row.answer)
        extra = {name: value for name, value in payload["extra"].items() if name not in _DOCUMENTS}
        if extra.get("job") is not None:
            extra["job"] = job_queue.shown(ctx, extra["job"])
        return payload | {"extra": extra}

    def reply(self, ctx: Invocation) -> Reply:
        """Return the answer, with what the subject may see of it now."""
        return Reply.from_json(self.payload(ctx))


def find(ctx: Invocation, key: str, request: Request | None = None, digest: str | None = None) -> KeptAnswer | None:
    """Return what was answered to this subject under ``key``; None if nothing was.

    Raises `Conflict` if that was another request than this one, which has this ``digest``.
    """
    row = ctx.tx.requests.find(_own_key(ctx, key))
    if row is None and ctx.tx.requests.any_older and not key.startswith(OWN):
        row = ctx.tx.requests.find(key)
        digest = sha256(_content(ctx, request)).hexdigest() if request is not None else None
        row = row if row is not None and (row.digest == digest or _is_own(ctx, row)) else None
    if row is None:
        return None
    if digest is not None and row.digest != digest:
        raise Conflict(f"the key {key} was used for another request")
    return KeptAnswer(row)


def keep(ctx: Invocation, key: str, digest: str, unit: str | None, reply: Reply) -> None:
    """Keep the answer to the request of this subject that has this ``digest``."""
    ctx.tx.requests.add(_own_key(ctx, key), digest, ctx.verb, unit, reply.text, reply.revision)


def digest_of(ctx: Invocation, request: Request) -> str:
    """Return what equal requests of one subject have in common.

    It is made with the key of the database, else whoever has its file could find out secrets in requests by guessing.
    """
    try:
        key = ctx.tx.content_key
    except StateUnusable:  # sealed with a state_key that is not configured any more
        key = b""
    return blake2b(_content(ctx, request), key=key, digest_size=32).hexdigest()


def _content(ctx: Invocation, request: Request) -> bytes:
    return jsonio.canonical([request.verb, request.args, ctx.subject.id]).encode()


def _own_key(ctx: Invocation, key: str) -> str:
    """Return the key under which the store has what this subject did under ``key``."""
    return OWN + blake2b(f"{ctx.subject.id}\0{key}".encode(), digest_size=16).hexdigest()


def _is_own(ctx: Invocation, row: StoredRequest) -> bool:
    """Return whether this subject sent a request whose answer an older lMaPS has kept, under the key as it came.

    The changeset or the job that the request made names its author.
    """
    number = json.loads(row.answer).get("job")
    changeset = ctx.tx.history.changeset(row.revision) if row.revision is not None else None
    job = ctx.tx.jobs.find(number) if number is not None else None
    return any(
        origin.request_key == row.key and origin.author == ctx.subject.name for origin in (changeset, job) if origin
    )
