"""``doctor``."""

import os
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from lmaps.cli.render import aligned
from lmaps.cli.session import Session, command
from lmaps.errors import NotReached

if TYPE_CHECKING:
    from lmaps.config import Config
    from lmaps.diagnostics.context import CheckContext, CheckResult
    from lmaps.protocol import Reply

AUDIT_ROWS = 10_000


@command("doctor", examples="lmaps doctor\nlmaps doctor --may alice apply web\nlmaps doctor --may gid:ops admin '*'")
@click.option("--may", nargs=3, metavar="WHO VERB UNIT", help="Tell whether WHO may do VERB on UNIT, and why.")
@click.pass_context
def doctor(ctx: click.Context, session: Session, may: tuple[str, str, str] | None) -> None:
    """Look whether all is well, and tell what to do where it is not. Exit code 1 if there is a fault.

    Without a daemon its files are looked at. A warning is no fault; what this user may not see is unknown.

    With --may: what the policy says, and which of its lines decides; exit code 1 if it denies. WHO is a user's name,
    uid:N, gid:N or key:FINGERPRINT. VERB is a verb or a right. UNIT may be '*': all units.
    """
    if may is None:
        ctx.exit(_examine(session))
    reply = _may(session, *may)
    session.lines(reply.extra, [reply.message], [reply.message.partition(" ")[0].rstrip(":")])
    ctx.exit(reply.level)


def _examine(session: Session) -> int:
    """Tell what each check finds; the exit code."""
    from lmaps.diagnostics.checks import examine  # noqa: PLC0415 (it has all that the daemon has, which others do without)

    results = examine(_check_context(session))
    rows = [{"check": name} | result.to_json() for name, result in results.items()]
    session.lines({"checks": rows}, list(_lines(results)), [name for name, result in results.items() if result.advice])
    counts = Counter(result.verdict for result in results.values())
    session.words(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return int("fault" in counts)


def _check_context(session: Session) -> "CheckContext":
    """What there is to be looked at; errors of a daemon that answers are told as they are."""
    from lmaps.diagnostics.context import CheckContext  # noqa: PLC0415

    endpoint = session.connect().endpoint
    try:
        status = session.call("status").extra
    except NotReached:
        return CheckContext.from_files(_config(session), endpoint)

    def audit() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = session.call("audit", limit=AUDIT_ROWS, since="-90d").extra["audit"]
        return rows

    return CheckContext(status, endpoint, audit)


def _lines(results: Mapping[str, "CheckResult"]) -> list[str]:
    """A line for each check, and one below it where there is something to do."""
    heads = aligned([(name, result.verdict) for name, result in results.items()], indent="")
    width = max(map(len, heads))
    lines = []
    for head, result in zip(heads, results.values(), strict=True):
        lines.append(f"{head.ljust(width)}  {result.message}")
        lines += [f"{'':{width}}  -> {result.advice}"] if result.advice else []
    return lines


def _config(session: Session) -> "Config":
    from lmaps.config import load_config  # noqa: PLC0415 (the daemon's answer does without)

    return load_config(session.config or os.environ.get("LMAPS_CONFIG"))


def _may(session: Session, who: str, verb: str, unit: str) -> "Reply":
    """What the daemon says; where none runs, what its policy says."""
    try:
        return session.call("may", who=who, do=verb, on=unit)
    except NotReached:
        from lmaps.diagnostics.files import policy_decision  # noqa: PLC0415

        config = _config(session)
        session.words(f"no daemon runs: read from {config['policy'] or 'the built-in lines'}")
        return policy_decision(config, who, verb, unit)
