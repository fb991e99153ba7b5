"""How a unit stands: its condition, its handler's faults, and stored instances that no longer fit it."""

import json
from collections.abc import Iterable

from lmaps.api.context import Invocation, ManagerState
from lmaps.errors import Finding
from lmaps.model.schema import Schema
from lmaps.model.states import UNSETTLED, JobState, UnitCondition
from lmaps.model.units import Impact, StoredInstance, Unit, impact, unit_from_definition
from lmaps.store import Instance
from lmaps.util import jsonio


def condition(call: Invocation, name: str) -> str:
    """Return how a unit stands: a `UnitCondition`, the most pressing one where several hold."""
    unit = call.manager.units.units.get(name)
    if unit is None:
        return UnitCondition.ORPHANED
    if call.manager.faults.get(name):
        return UnitCondition.BROKEN
    last = call.tx.jobs.last_apply(name)
    if last is not None and last.state == JobState.RUNNING:
        return UnitCondition.RUNNING
    if call.tx.jobs.unconfirmed(name):
        return UnitCondition.CONFIRMING
    if call.manager.fitting.wrong(call.tx, unit, call.limit):
        return UnitCondition.INVALID
    if last is not None and last.state in UNSETTLED:
        return UnitCondition.DIRTY
    waiting = call.tx.jobs.count_pending(name)
    return f"{UnitCondition.PENDING} {waiting}" if waiting else UnitCondition.IN_SYNC


def impact_on_stored(call: Invocation, unit: Unit, instances: Iterable[Instance]) -> list[Impact]:
    """Return what the text of ``unit`` would do to these stored ``instances``."""
    before = call.tx.instances.newest_definition(unit.name)
    stored = [StoredInstance(each.key, json.loads(each.given), json.loads(each.completed)) for each in instances]
    older = unit_from_definition(jsonio.decode(before)) if before else None
    return call.limit.run(f"check {unit.name}", impact, unit, older, stored)


def misfits(call: Invocation, unit: Unit) -> list[Finding]:
    """Where stored instances do not fit the unit as it is now, as far as known, for who may see them."""
    if not call.may(unit.name, "show"):
        return []
    wrong = sorted(call.manager.fitting.wrong(call.tx, unit, call.limit))
    found = impact_on_stored(call, unit, call.tx.instances.by_number(unit.name, wrong).values())
    return [Finding(each.to_json()["message"], each.finding.at) for each in found if each.kind == "breaks"]


def handler_faults(manager: ManagerState, unit: Unit) -> list[Finding]:
    """What keeps a unit's handler from running: it is not there, is broken, or does not take these args."""
    if not manager.handlers:
        return []
    handler = manager.handlers.get(unit.handler)
    if handler is None:
        known = ", ".join(manager.handlers)
        return [unit.locate(Finding(f"no handler {unit.handler!r}; there are {known}", at=("handler", "type")))]
    if "error" in handler:
        text = f"handler {unit.handler} cannot be loaded: {handler['error']}"
        return [unit.locate(Finding(text, at=("handler", "type")))]
    findings = Schema(handler["args_schema"]).findings(unit.args)
    return [unit.locate(_below_args(finding)) for finding in findings]


def _below_args(finding: Finding) -> Finding:
    return finding._replace(at=("handler", "args", *finding.at))
