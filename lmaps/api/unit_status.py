"""How a unit stands: its condition, its handler's faults, and stored instances that no longer fit it."""

import json
from collections.abc import Iterable

from lmaps.api.context import Invocation, ManagerState
from lmaps.api.documents import PublicDocuments
from lmaps.errors import Finding
from lmaps.model.schema import Schema
from lmaps.model.states import UNSETTLED, JobState, UnitCondition
from lmaps.model.units import StoredInstance, Unit, impact
from lmaps.store import Instance


def condition(ctx: Invocation, name: str) -> str:
    """Return how a unit stands: a `UnitCondition`, the most pressing one where several hold."""
    unit = ctx.manager.units.units.get(name)
    if unit is None:
        return UnitCondition.ORPHANED
    if ctx.manager.faults.get(name):
        return UnitCondition.BROKEN
    last = ctx.tx.jobs.last_apply(name)
    if last is not None and last.state == JobState.RUNNING:
        return UnitCondition.RUNNING
    if ctx.tx.jobs.unconfirmed(name):
        return UnitCondition.CONFIRMING
    if ctx.manager.conformance.wrong(ctx.tx, unit, ctx.limit):
        return UnitCondition.INVALID
    if last is not None and last.state in UNSETTLED:
        return UnitCondition.DIRTY
    waiting = ctx.tx.jobs.count_pending(name)
    return f"{UnitCondition.PENDING} {waiting}" if waiting else UnitCondition.IN_SYNC


def stored_instances(ctx: Invocation, name: str, instances: Iterable[Instance]) -> list[StoredInstance]:
    """Return ``instances`` of a unit, each with the paths of its secrets."""
    documents = PublicDocuments(ctx, ctx.recorded_unit(name))
    stored = []
    for row in instances:
        completed = json.loads(row.clear_completed)
        secrets = documents.secrets_under(row.document.definition).paths(completed)
        stored.append(StoredInstance(row.key, json.loads(row.clear_given), completed, secrets))
    return stored


def misfits(ctx: Invocation, unit: Unit) -> list[Finding]:
    """Return where stored instances do not fit the unit as it is now, as far as known, if the subject may see them."""
    if not ctx.may(unit.name, "show"):
        return []
    wrong = sorted(ctx.manager.conformance.wrong(ctx.tx, unit, ctx.limit))
    stored = stored_instances(ctx, unit.name, ctx.tx.instances.by_number(unit.name, wrong).values())
    impacts = ctx.limit.run(f"check {unit.name}", impact, unit, stored)
    return [Finding(change.to_json()["message"], change.finding.at) for change in impacts if change.kind == "breaks"]


def handler_faults(manager: ManagerState, unit: Unit) -> list[Finding]:
    """Return what keeps a unit's handler from running: it is not there, is broken, or does not take these args."""
    if not manager.handlers:
        return []
    handler = manager.handlers.get(unit.handler)
    if handler is None:
        names = ", ".join(manager.handlers)
        return [unit.locate(Finding(f"no handler {unit.handler!r}; there are {names}", at=("handler", "type")))]
    if "error" in handler:
        text = f"handler {unit.handler} cannot be loaded: {handler['error']}"
        return [unit.locate(Finding(text, at=("handler", "type")))]
    findings = Schema(handler["args_schema"]).findings(unit.args)
    return [unit.locate(_below_args(finding)) for finding in findings]


def _below_args(finding: Finding) -> Finding:
    return finding._replace(at=("handler", "args", *finding.at))
