"""``rollback``."""

from typing import Any

from lmaps.core.commands.output import revision
from lmaps.core.commands.session import Session, command, the_unit, unit_argument, why_options


@command("rollback", examples="lmaps rollback web\nlmaps rollback web -m 'too early' -o json")
@unit_argument
@why_options
def rollback(session: Session, unit: str | None, unit_option: str | None, key: str | None, **why: str | None) -> None:
    """Undo the newest change of a unit; once more walks further back. The host is not touched: apply does that."""
    name = the_unit(unit, unit_option)
    reply = session.call("rollback", key=key, unit=name, **why)
    extra = reply.extra
    if extra.get("nothing"):
        session.words(f"nothing to roll back in {name}")
        if session.structured:
            session.data({"unit": name, "revision": None, "undone": None})
        return
    data = {"unit": name, "revision": reply.revision, **extra}
    session.lines(data, [_words(name, reply.revision, extra)], [str(reply.revision)])


def _words(name: str, made: int | None, extra: dict[str, Any]) -> str:
    """``r4: rolled back r3 (-api.example.org); web is pending, applied is r1: lmaps apply web``."""
    changes = " ".join(f"{change['sign']}{change['id']}" for change in extra["changes"][:5])
    more = f" and {len(extra['changes']) - 5} more" if len(extra["changes"]) > 5 else ""
    text = f"{revision(made)}: rolled back {revision(extra['undone'])} ({changes}{more})"
    if not extra["pending"]:
        return text
    applied = f"applied is {revision(extra['applied'])}" if extra["applied"] else "never applied"
    return f"{text}; {name} is pending, {applied}: lmaps apply {name}"
