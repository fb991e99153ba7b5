"""``doctor``."""

import os
from typing import TYPE_CHECKING

import click

from lmaps.core.commands.session import Session, command
from lmaps.errors import NotReached, UsageError

if TYPE_CHECKING:
    from lmaps.core.messages import Reply


@command("doctor", examples="lmaps doctor --may alice apply web\nlmaps doctor --may gid:ops admin '*'")
@click.option("--may", nargs=3, metavar="WHO VERB UNIT", help="Tell whether WHO may do VERB on UNIT, and why.")
@click.pass_context
def doctor(ctx: click.Context, session: Session, may: tuple[str, str, str] | None) -> None:
    """Tell what the policy allows, and which of its lines decides. Exit code 1 if it denies.

    WHO is a user's name, uid:N, gid:N or key:FINGERPRINT. VERB is a verb or a right. UNIT may be '*': all units.
    """
    if may is None:
        raise UsageError("cannot tell what to look at: --may WHO VERB UNIT")
    reply = _may(session, *may)
    session.lines(reply.extra, [reply.message], [reply.message.partition(" ")[0].rstrip(":")])
    ctx.exit(reply.level)


def _may(session: Session, who: str, verb: str, unit: str) -> "Reply":
    """What the daemon says; where none runs, what its policy says."""
    try:
        return session.call("may", who=who, do=verb, on=unit)
    except NotReached:
        from lmaps.core.config import load_config  # noqa: PLC0415 (the daemon's answer does without)
        from lmaps.core.daemon.check import may  # noqa: PLC0415

        config = load_config(session.config or os.environ.get("LMAPS_CONFIG"))
        session.words(f"no daemon runs: read from {config['policy'] or 'the built-in lines'}")
        return may(config, who, verb, unit)
