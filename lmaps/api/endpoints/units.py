"""Endpoints on units: units, explain, unit_check, reload."""

from typing import Annotated

from lmaps.api.arguments import NoArguments, Text, UnitName, argument, arguments
from lmaps.api.context import Invocation
from lmaps.api.endpoint import endpoint
from lmaps.api.unit_status import condition, handler_faults, stored_instances
from lmaps.errors import Finding
from lmaps.model.policy import EVERY_UNIT
from lmaps.model.schema.dataclasses import Keywords
from lmaps.model.units import StoredInstance, Unit, impact, load_units_from, property_rows
from lmaps.protocol import Reply
from lmaps.protocol.views import UnitView
from lmaps.util.jsonio import JsonObject
from lmaps.util.text import plural


@endpoint("units", right="list", scope="some", action="list units")
def units(ctx: Invocation, request: NoArguments) -> Reply:
    """List every unit with its type, handler, number of instances, newest and applied revision, and condition."""
    loaded = ctx.manager.units.units
    orphans = [name for name in ctx.tx.history.units() if name not in loaded and ctx.tx.instances.count(name)]
    rows = [_view(ctx, name, loaded.get(name)).to_json() for name in [*loaded, *orphans] if ctx.may(name, "list")]
    return Reply(plural(len(rows), "unit"), extra={"units": rows, "errors": refused_files(ctx)})


def refused_files(ctx: Invocation) -> list[JsonObject]:
    """Return what is wrong with unit files; of an unknown unit only for those who may list every unit."""
    errors = [error for error in ctx.manager.units.errors if ctx.may(error.extra.get("unit") or EVERY_UNIT, "list")]
    return [finding.to_json() for error in errors for finding in error.errors]


def _view(ctx: Invocation, name: str, unit: Unit | None) -> UnitView:
    return UnitView(
        unit=name,
        type=unit.data_type if unit else None,
        handler=unit.handler if unit else None,
        instances=ctx.tx.instances.count(name),
        revision=ctx.tx.history.newest_revision(name),
        applied=ctx.tx.jobs.applied_revision(name),
        condition=condition(ctx, name),
    )


@arguments
class Explain:
    """The arguments of explain."""

    unit: UnitName
    property: Annotated[
        str | None, Keywords("Only this property, and what lies below it: a.b.", type=["string", "null"])
    ] = None


@endpoint("explain", right="list")
def explain(ctx: Invocation, request: Explain) -> Reply:
    """Show a unit's properties with type, default, limits and text; or one property and what lies below it."""
    unit = ctx.recorded_unit(request.unit)
    rows = property_rows(unit, request.property)
    return Reply(
        f"{unit.name} has {plural(len(rows), 'property', 'properties')}",
        extra={
            "unit": unit.name,
            "description": unit.params.get("description"),
            "type": unit.data_type,
            "handler": unit.handler,
            "properties": [row.to_json() for row in rows],
            "schema": unit.params,
        },
    )


@arguments
class UnitFile:
    """A unit file that is checked."""

    name: Text
    text: str


@arguments
class UnitCheck:
    """The arguments of unit_check."""

    files: list[UnitFile] = argument(doc="The files: name and text.")


@endpoint("unit_check", right="list", scope="some", action="check unit files")
def unit_check(ctx: Invocation, request: UnitCheck) -> Reply:
    """Lint the texts of unit files: what would be refused, what is odd, and what they would do to what is stored.

    Nothing is loaded. Level 1 if anything would be refused, or would touch stored instances.
    """
    loaded = ctx.limit.run("check the units", load_units_from, [(file.name, file.text) for file in request.files])
    errors = [finding for error in loaded.errors for finding in error.errors]
    warnings = list(loaded.warnings)
    rows: list[JsonObject] = []
    impacts: list[JsonObject] = []
    for unit in loaded.units.values():
        faults = handler_faults(ctx.manager, unit)
        errors += faults
        rows.append({"unit": unit.name, "file": unit.file, "ok": not faults})
        if not ctx.may(unit.name, "show"):
            text = f"what is stored of {unit.name} was not looked at: {ctx.subject.name} has no right show there"
            warnings.append(unit.locate(Finding(text, ("meta", "name"))))
            continue
        if ctx.tx.instances.is_outdated(unit.name, unit.digest):
            stored, unseen = _seen_and_unseen(ctx, unit)
            if unseen:
                count = plural(len(unseen), "instance")
                text = f"not tried on {count} with secrets: {ctx.subject.name} has no right reveal on {unit.name}"
                warnings.append(unit.locate(Finding(text, ("meta", "name"))))
            touched = ctx.limit.run(f"check {unit.name}", impact, unit, stored, unseen)
            impacts += [{"unit": unit.name, "file": unit.file} | effect.to_json() for effect in touched]
    return Reply(
        f"{plural(len(errors), 'error')}, {plural(len(warnings), 'warning')}, {plural(len(impacts), 'impact')}",
        level=1 if errors or impacts else 0,
        extra={"units": rows, "warnings": [finding.to_json() for finding in warnings], "impacts": impacts},
        errors=tuple(errors),
    )


def _seen_and_unseen(ctx: Invocation, unit: Unit) -> tuple[list[StoredInstance], list[StoredInstance]]:
    """Return the stored instances that a text of the subject's may be tried on, and the others."""
    stored = stored_instances(ctx, unit.name, ctx.tx.instances.all(unit.name))
    if ctx.may(unit.name, "reveal"):
        return stored, []
    # Whether a secret fits a pattern, equals another one or steers an if is a question about it; so is every other
    # effect on a document that has one.
    return [row for row in stored if not row.secrets], [row for row in stored if row.secrets]


@endpoint("reload", right="admin", scope="every", audited=True)
def reload(ctx: Invocation, request: NoArguments) -> Reply:
    """Load unit files, policy and keys anew: all of it, or nothing if there is an error."""
    before = ctx.manager.units.units
    ctx.manager.reload()
    after = ctx.manager.units.units
    changed = [name for name in after if name not in before or before[name].digest != after[name].digest]
    message = f"reloaded {plural(len(after), 'unit')}, {len(changed)} changed"
    return Reply(message, extra={"units": list(after), "changed": changed})
