"""Replay: make the instances anew from the changesets, and compare them with those that are stored."""

from lmaps.errors import StateDamaged
from lmaps.store.rows import Change, Changeset, Instance
from lmaps.store.transaction import Transaction


def replay(tx: Transaction) -> int:
    """Make the instances anew from the changesets and compare; return how many changesets there are.

    Raises `StateDamaged` with the first place where a change does not fit the instance as it was before, where a
    changeset does not fit its unit's line, or where an instance differs from what its changes make of it.
    """
    changesets = tx.history.changesets()[::-1]
    given = tx.revision()
    if changesets and changesets[-1].revision != given:
        raise StateDamaged(f"cannot rely on the database: it ends with r{changesets[-1].revision}, r{given} was given")
    instances: dict[int, Instance] = {}
    heads: dict[str, Changeset] = {}
    horizons: dict[str, int] = {}
    for changeset in changesets:
        unit = changeset.unit
        horizon = horizons.setdefault(unit, tx.history.horizon(unit))
        _check_line(changeset, heads.get(unit), horizon)
        heads[unit] = changeset
        for change in tx.history.changes(changeset.revision):
            _apply(changeset, change, instances, horizon)
    for unit in heads:
        of_unit = {number: instance for number, instance in instances.items() if instance.unit == unit}
        _compare(unit, tx, of_unit, horizons[unit])
    return len(changesets)


def _check_line(changeset: Changeset, head: Changeset | None, horizon: int) -> None:
    """Raise `StateDamaged` unless a change is put on the end of the line, and no other changeset has a predecessor."""
    end = head.line_end if head else None
    fits = changeset.line_previous == end if changeset.on_line else changeset.line_previous is None
    if not fits and (head is not None or not horizon):  # the predecessor of the oldest one may have been dropped
        raise StateDamaged(
            f"cannot rely on the database: r{changeset.revision} does not fit the line of {changeset.unit}"
        )


def _apply(changeset: Changeset, change: Change, instances: dict[int, Instance], horizon: int) -> None:
    number, unit = change.instance_id, changeset.unit
    instance = instances.pop(number, None)
    before = instance.document if instance else None
    made_before_horizon = instance is None and change.first_revision <= horizon
    if before != change.before and not made_before_horizon:
        raise StateDamaged(
            f"cannot rely on the database: r{changeset.revision} changed instance {number} of {unit} "
            "from something else than it was"
        )
    if change.after is not None:
        instances[number] = Instance(number, unit, change.after, change.first_revision, changeset.revision)


def _compare(unit: str, tx: Transaction, instances: dict[int, Instance], horizon: int) -> None:
    stored = {
        instance.id: instance
        for instance in tx.instances.all(unit)
        if instance.id in instances or instance.revision > horizon  # the others were made by changes that are dropped
    }
    if stored != instances:
        numbers = sorted({*stored, *instances})
        wrong = next(number for number in numbers if stored.get(number) != instances.get(number))
        raise StateDamaged(
            f"cannot rely on the database: instance {wrong} of {unit} is not what its changesets make it"
        )
