"""Verbs on units: units, explain, unit_check; and the condition a unit is in."""

from typing import Any

from lmaps.api.context import Invocation
from lmaps.api.unit_status import condition, handler_faults, impact_on_stored
from lmaps.errors import Finding
from lmaps.model.policy import EVERY_UNIT
from lmaps.model.units import Unit, load_units_from, property_rows
from lmaps.protocol import Reply
from lmaps.util.text import plural


def units(call: Invocation) -> Reply:
    """Every unit with its type, handler, number of instances, newest and applied revision, and condition."""
    loaded = call.manager.units.units
    orphans = [name for name in call.tx.history.units() if name not in loaded and call.tx.instances.count(name)]
    rows = [_row(call, name, loaded.get(name)) for name in [*loaded, *orphans] if call.may(name, "list")]
    return Reply(plural(len(rows), "unit"), extra={"units": rows, "errors": refused_files(call)})


def refused_files(call: Invocation) -> list[dict[str, Any]]:
    """What is wrong with unit files; where it is not known of which unit, for who may list every unit."""
    told = [error for error in call.manager.units.errors if call.may(error.extra.get("unit") or EVERY_UNIT, "list")]
    return [finding.to_json() for error in told for finding in error.errors]


def _row(call: Invocation, name: str, unit: Unit | None) -> dict[str, Any]:
    return {
        "unit": name,
        "type": unit.data_type if unit else None,
        "handler": unit.handler if unit else None,
        "instances": call.tx.instances.count(name),
        "revision": call.tx.history.newest_revision(name),
        "applied": call.tx.jobs.applied_revision(name),
        "condition": condition(call, name),
    }


def explain(call: Invocation) -> Reply:
    """A unit's properties with type, default, limits and text; or one property and what lies below it."""
    unit = call.kept_unit
    wanted = call.args.get("property")
    rows = property_rows(unit, wanted)
    return Reply(
        f"{unit.name} has {plural(len(rows), 'property', 'properties')}",
        extra={
            "unit": unit.name,
            "description": unit.params.get("description"),
            "type": unit.data_type,
            "handler": unit.handler,
            "properties": rows,
            "schema": unit.params,
        },
    )


def unit_check(call: Invocation) -> Reply:
    """Lint the texts of unit files: what would be refused, what is odd, and what they would do to what is stored.

    Nothing is loaded. Level 1 if anything would be refused, or would touch stored instances.
    """
    texts = [(file["name"], file["text"]) for file in call.args["files"]]
    found = call.limit.run("check the units", load_units_from, texts)
    errors = [finding for error in found.errors for finding in error.errors]
    warnings = list(found.warnings)
    rows: list[dict[str, Any]] = []
    impacts: list[dict[str, Any]] = []
    for unit in found.units.values():
        wrong = handler_faults(call.manager, unit)
        errors += wrong
        rows.append({"unit": unit.name, "file": unit.file, "ok": not wrong})
        if not call.may(unit.name, "show"):
            text = f"what is stored of {unit.name} was not looked at: {call.subject.name} has no right show there"
            warnings.append(unit.locate(Finding(text, ("meta", "name"))))
            continue
        if call.tx.instances.is_outdated(unit.name, unit.digest):
            found_there = impact_on_stored(call, unit, call.tx.instances.all(unit.name))
            impacts += [{"unit": unit.name, "file": unit.file} | each.to_json() for each in found_there]
    return Reply(
        f"{plural(len(errors), 'error')}, {plural(len(warnings), 'warning')}, {plural(len(impacts), 'impact')}",
        level=1 if errors or impacts else 0,
        extra={"units": rows, "warnings": [finding.to_json() for finding in warnings], "impacts": impacts},
        errors=tuple(errors),
    )


def reload(call: Invocation) -> Reply:
    """Load unit files, policy and keys anew: all of it, or nothing if there is an error."""
    before = call.manager.units.units
    call.manager.reload()
    names = list(call.manager.units.units)
    changed = [
        name for name in names if name not in before or before[name].digest != call.manager.units.units[name].digest
    ]
    return Reply(
        f"reloaded {plural(len(names), 'unit')}, {len(changed)} changed", extra={"units": names, "changed": changed}
    )
