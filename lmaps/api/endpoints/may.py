"""The verb may: what the policy says, and by which line."""

from collections.abc import Mapping

from lmaps.api.context import Call
from lmaps.api.endpoint import Verb
from lmaps.errors import NotFound
from lmaps.model.policy import RIGHTS, Policy
from lmaps.protocol import Reply
from lmaps.util.text import nearest

_TEXT = {"type": "string", "minLength": 1, "maxLength": 256}


def may(verbs: Mapping[str, Verb]) -> Verb:
    """The verb that tells whether a subject may do a verb of the table, or has a right."""

    def tell(call: Call) -> Reply:
        """Tell whether somebody may do something on a unit, and the line of the policy that decides."""
        return answer(verbs, call.service.policy, call.args["who"], call.args["do"], call.args["on"])

    properties = {"who": _TEXT, "do": _TEXT, "on": {"type": "string", "pattern": r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]*)$"}}
    return Verb(tell, "admin", properties, ("who", "do", "on"), scope="every", about_oneself="who")


def answer(verbs: Mapping[str, Verb], policy: Policy, who: str, verb: str, unit: str) -> Reply:
    """What ``policy`` says; level 1 if it is denied. `NotFound` for what is neither a verb nor a right."""
    right = verbs[verb].right if verb in verbs else verb
    if right not in RIGHTS:
        near = nearest(verb, [*verbs, *RIGHTS])
        raise NotFound(
            f"cannot tell about {verb!r}: it is neither a verb nor a right"
            + (f"; did you mean {near}?" if near else ""),
            hint=f"the rights are {', '.join(RIGHTS)}",
        )
    subject = policy.named(who)
    decision = policy.decide(subject, right, unit)
    extra = {"allowed": decision.allowed, "why": decision.words, "subject": subject.id, "right": right, "unit": unit}
    return Reply(decision.words, level=0 if decision.allowed else 1, extra=extra)
