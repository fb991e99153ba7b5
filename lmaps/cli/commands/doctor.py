"""``doctor``."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from lmaps.cli.options import command
from lmaps.cli.session import Session
from lmaps.errors import NotReached
from lmaps.util.lazy import LazyModule
from lmaps.util.terminal import aligned, padded, width

if TYPE_CHECKING:
    from lmaps.config import load, settings
    from lmaps.diagnostics import checks, context, files
    from lmaps.protocol import Reply, views
else:
    views = LazyModule("lmaps.protocol.views")
    load = LazyModule("lmaps.config.load")
    # The checks import the whole daemon: --help and a policy question that the daemon answers do without.
    checks, context, files = (LazyModule(f"lmaps.diagnostics.{name}") for name in ("checks", "context", "files"))

MAX_AUDIT_ROWS = 10_000


@command("doctor", examples="lmaps doctor\nlmaps doctor --may alice apply web\nlmaps doctor --may gid:ops admin '*'")
@click.option("--may", nargs=3, metavar="WHO VERB UNIT", help="Show whether WHO may do VERB on UNIT, and why.")
@click.pass_context
def doctor(ctx: click.Context, session: Session, may: tuple[str, str, str] | None) -> None:
    """Check the installation, and say what to do where something is wrong. Exit code 1 if there is a fault.

    Without a daemon its files are checked. A warning is not a fault; what this user may not read is unknown.

    With --may: what the policy says, and which of its lines decides; exit code 1 if it denies. WHO is a user's name,
    uid:N, gid:N or key:FINGERPRINT. VERB is a verb or a right. UNIT may be '*': all units.
    """
    if may is None:
        ctx.exit(_examine(session))
    reply = _ask_policy(session, *may)
    session.print_lines(reply.extra, [reply.message], [reply.message.partition(" ")[0].rstrip(":")])
    ctx.exit(reply.level)


def _examine(session: Session) -> int:
    """Print the result of each check; return the exit code."""
    results = checks.examine(_check_context(session))
    rows = [{"check": name} | result.to_json() for name, result in results.items()]
    names = [name for name, result in results.items() if result.advice]
    session.print_lines({"checks": rows}, _lines(results), names)
    counts = Counter(result.verdict for result in results.values())
    session.print_message(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return int("fault" in counts)


def _check_context(session: Session) -> "context.CheckContext":
    """Return what the checks look at: the daemon's answers, or its files where none runs."""
    endpoint = session.connect().endpoint
    try:
        status = views.DaemonStatus.from_json(session.call("status").extra)
    except NotReached:
        return context.CheckContext.from_files(_load_config(session), endpoint)

    def audit() -> "list[views.AuditView]":
        rows = session.call("audit", limit=MAX_AUDIT_ROWS, since="-90d").extra["audit"]
        return [views.AuditView.from_json(row) for row in rows]

    return context.CheckContext.from_status(status, endpoint, audit)


def _lines(results: Mapping[str, "context.CheckResult"]) -> list[str]:
    """Return a line for each check, and one below it where there is something to do."""
    heads = aligned([(name, result.verdict) for name, result in results.items()], indent="")
    columns = max(map(width, heads))
    lines = []
    for head, result in zip(heads, results.values(), strict=True):
        lines.append(f"{padded(head, columns)}  {result.message}")
        lines += [f"{'':{columns}}  -> {result.advice}"] if result.advice else []
    return lines


def _load_config(session: Session) -> "settings.Config":
    return load.load_config_file(session.config_file)


def _ask_policy(session: Session, who: str, verb: str, unit: str) -> "Reply":
    """Return what the daemon says of its policy; where none runs, what its policy file says."""
    try:
        return session.call("may", who=who, do=verb, on=unit)
    except NotReached:
        config = _load_config(session)
        session.print_message(f"no daemon runs: read from {config.policy or 'the built-in lines'}")
        return files.policy_decision(config, who, verb, unit)
