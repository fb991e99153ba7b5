"""How an instance is named: by its ID, or by the beginning of one that is made of the content."""

from collections.abc import Mapping, Sequence

from lmaps.api.context import Invocation
from lmaps.errors import NotFound
from lmaps.model.units import Unit
from lmaps.store import Instance

MIN_PREFIX = 4
"""The fewest hex digits that are accepted as the beginning of a content ID."""


def picked(ctx: Invocation, unit: Unit, ids: Sequence[str]) -> list[Instance]:
    """Return the instances of these IDs or beginnings of content IDs. Raises `NotFound` that names those missing."""
    exact = ctx.tx.instances.find(unit.name, ids)
    instances = {wanted: exact.get(wanted) or find(ctx, unit, wanted, missing_ok=True) for wanted in ids}
    missing = [wanted for wanted, instance in instances.items() if instance is None]
    if missing:
        raise _no_instance(ctx, unit, missing)
    return [instance for instance in instances.values() if instance is not None]


def find(ctx: Invocation, unit: Unit, wanted: str, *, missing_ok: bool = False) -> Instance | None:
    """Return the instance of this ID, or of this beginning of a content ID."""
    exact, by_prefix = _candidates(ctx, unit, wanted)
    instance = exact.get(wanted) or _single(unit, wanted, by_prefix)
    if instance is None and not missing_ok:
        raise _no_instance(ctx, unit, [wanted])
    return instance


def _candidates(ctx: Invocation, unit: Unit, wanted: str) -> tuple[dict[str, Instance], list[Instance]]:
    """Return the instance of this ID, and those whose content ID begins with it."""
    by_prefix = ctx.tx.instances.with_prefix(unit.name, wanted) if _may_be_prefix(unit, wanted) else []
    return ctx.tx.instances.find(unit.name, [wanted]), by_prefix


def _may_be_prefix(unit: Unit, wanted: str) -> bool:
    """Return whether ``wanted`` can be the beginning of a content ID."""
    return not unit.primary_key and len(wanted) >= MIN_PREFIX


def _single(unit: Unit, wanted: str, by_prefix: Sequence[Instance]) -> Instance | None:
    if len(by_prefix) > 1:
        raise NotFound(f"{len(by_prefix)} instances in {unit.name} begin with {wanted}: give more digits")
    return by_prefix[0] if by_prefix else None


def picked_at(ctx: Invocation, unit: Unit, ids: Sequence[str], revision: int) -> list[Instance]:
    """Return the instances of these IDs as they were at ``revision``, even if they were changed or deleted since."""
    candidates: list[Instance] = []
    for wanted in ids:
        exact, by_prefix = _candidates(ctx, unit, wanted)
        candidates += [*exact.values(), *by_prefix]
    then = {instance.key: instance for instance in ctx.tx.history.state_at(unit.name, revision, candidates)}
    return [_pick_from(ctx, unit, then, wanted) for wanted in ids]


def _pick_from(ctx: Invocation, unit: Unit, then: Mapping[str, Instance], wanted: str) -> Instance:
    """Return the instance of this ID or beginning of a content ID from ``then``, which has them by key."""
    instance = then.get(wanted)
    if instance is None and _may_be_prefix(unit, wanted):
        instance = _single(unit, wanted, [row for key, row in then.items() if key.startswith(wanted)])
    if instance is None:
        raise _no_instance(ctx, unit, [wanted])
    return instance


def _no_instance(ctx: Invocation, unit: Unit, missing: Sequence[str]) -> NotFound:
    names = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
    outcome = ", nothing was changed" if ctx.verb in ("delete", "set") else ""
    return NotFound(f"there is no instance {names} in {unit.name}{outcome}", hint=f"lmaps show {unit.name} lists them")
