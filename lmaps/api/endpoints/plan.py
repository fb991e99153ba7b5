"""Endpoints that show what an apply would do: plan from the state, plan_check by the handler's own check mode."""

from lmaps.api import changes
from lmaps.api.arguments import Documents, Duration, Run, UnitName, Write, argument, arguments
from lmaps.api.changes import JobOrder, Proposal
from lmaps.api.context import Invocation
from lmaps.api.endpoint import endpoint
from lmaps.api.endpoints import instances
from lmaps.api.endpoints.jobs import ApplyProposal
from lmaps.errors import UnitUnusable
from lmaps.model.states import JobKind
from lmaps.protocol import Reply
from lmaps.util.jsonio import JsonObject

VERSION = 1
"""Of the form of a plan."""


@arguments
class Plan:
    """The arguments of plan."""

    unit: UnitName
    instances: Documents = argument(default=[], doc="Documents, as if they had been created.")


@endpoint("plan", right="apply", also={"instances": "create"})
def plan(ctx: Invocation, request: Plan) -> Reply:
    """Show how the desired state differs from the applied one; with ``instances`` as if they had been created."""
    unit = ctx.usable_unit(request.unit) if request.instances else ctx.recorded_unit(request.unit)
    applied = ctx.tx.jobs.applied_revision(unit.name)
    with ctx.tx.discarded():
        if request.instances:
            create = instances.Create(unit=unit.name, instances=request.instances)
            changes.carry_out(ctx, instances.create(ctx, create))
        desired = ctx.tx.history.newest_revision(unit.name) or 0
        rows = changes.diff_of(ctx, unit.name, applied or 0, desired)
    signs = [row.sign for row in rows]
    counts = {"add": signs.count("+"), "change": signs.count("~"), "delete": signs.count("-")}
    extra: JsonObject = {
        "version": VERSION,
        "unit": unit.name,
        "applied": applied,
        "desired": ctx.tx.history.newest_revision(unit.name),
        **counts,
        "diff": [row.to_json() for row in rows],
    }
    message = ", ".join(f"{count} to {kind}" for kind, count in counts.items())
    return Reply(message, level=1 if rows else 0, extra=extra)


@arguments
class PlanCheck(Write):
    """The arguments of plan_check."""

    unit: UnitName
    timeout: Duration | None = argument(default=None, doc="The job is ended after so long.")

    @property
    def is_allowed_unconfirmed(self) -> bool:
        """Always: it changes neither state nor host."""
        return True


@endpoint("plan_check", right="apply", action="plan on the host")
def plan_check(ctx: Invocation, request: PlanCheck) -> Proposal:
    """Queue a job that has the handler show what it would do to the host, and do nothing."""
    unit = ctx.usable_unit(request.unit)
    handler = ctx.manager.handlers.get(unit.handler, {})
    if handler.get("preview", "none") == "none":
        raise UnitUnusable(
            f"cannot plan {unit.name} on the host: its handler {unit.handler} has no check mode",
            hint=f"lmaps plan {unit.name} shows what would be handed over",
        )
    return ApplyProposal("", job=JobOrder(unit, JobKind.PLAN, Run(timeout=request.timeout)))
