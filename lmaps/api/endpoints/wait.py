"""The verb wait: until a unit is applied, confirmed, or at a revision, or can no longer become so."""

from lmaps.api.context import Call, Later
from lmaps.api.endpoints import jobs
from lmaps.api.revisions import resolve
from lmaps.protocol import Reply
from lmaps.store import Job

NEVER = 1
"""Level of the answer when what is waited for cannot come true by itself."""


def wait(call: Call) -> Reply | Later:
    """Answer when it is true, when it cannot become true any more, or after ``wait_ms``: ``true`` is null then."""
    name = call.kept_unit.name
    what = call.args["for"]
    going = _going(call, name)
    done = _is_confirmed(call, name) if what == "confirmed" else _is_applied(call, name, what)
    until = call.arrived + call.args["wait_ms"] / 1000
    if done is None and going is not None:
        if not call.expired(until):
            return Later(call, going.id, until, wait)
        return Reply(f"{name} is not {what} yet", extra={"true": None})
    job = _last_confirmed(call, name) if what == "confirmed" else going
    extra = {"true": bool(done), "job": jobs.told(call, job) if job else None}
    if done:
        return Reply(f"{name} is {what}", extra=extra)
    return Reply(f"{name} does not become {what} by itself", level=NEVER, extra=extra)


def _going(call: Call, name: str) -> Job | None:
    """A job of the unit that something may still come of."""
    found = [*call.state.unconfirmed(name), *call.state.jobs(name, ["running"])]
    found += [job for job in call.state.queued() if job.unit == name]
    return found[0] if found else None


def _is_applied(call: Call, name: str, what: str) -> bool | None:
    """Whether the handler ran with success with the newest state, or with a revision at least as new."""
    if what == "applied":
        return None if call.state.is_pending(name) else True
    wanted = resolve(call, name, what.removeprefix("rev="))
    return True if (call.state.applied_revision(name) or 0) >= wanted else None


def _is_confirmed(call: Call, name: str) -> bool | None:
    last = _last_confirmed(call, name)
    if last is None or last.confirmation in ("waiting", "undoing"):
        return None
    return last.confirmation == "confirmed"


def _last_confirmed(call: Call, name: str) -> Job | None:
    """The newest job that was to be confirmed."""
    return next((job for job in call.state.jobs(name, limit=100) if job.confirmation not in (None, "rearmed")), None)
