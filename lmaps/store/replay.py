"""Replay: the instances are what the changesets make of nothing, and nothing else."""

from lmaps.errors import StateDamaged
from lmaps.store.rows import Change, Changeset, Instance
from lmaps.store.transaction import Transaction


def replay(tx: Transaction) -> int:
    """Make the instances anew from the changesets and compare; how many changesets there are.

    `StateDamaged` names the first place where a change does not fit what was there before it, where a changeset does
    not fit its unit's line, or where an instance is another one than its changes make it.
    """
    changesets = tx.history.changesets()[::-1]
    given = tx.revision()
    if changesets and changesets[-1].revision != given:
        raise StateDamaged(f"cannot rely on the database: it ends with r{changesets[-1].revision}, r{given} was given")
    made: dict[int, Instance] = {}
    heads: dict[str, Changeset] = {}
    horizons: dict[str, int] = {}
    for each in changesets:
        horizons.setdefault(each.unit, tx.history.horizon(each.unit))
        _follow_line(each, heads.get(each.unit), horizons[each.unit])
        heads[each.unit] = each
        for change in tx.history.changes(each.revision):
            _follow(each, change, made, horizons[each.unit])
    for unit in heads:
        _compare(unit, tx, {number: each for number, each in made.items() if each.unit == unit}, horizons[unit])
    return len(changesets)


def _follow_line(each: Changeset, head: Changeset | None, horizon: int) -> None:
    """A change goes on the end of the line; undo and redo leave it where an older changeset had it."""
    end = head.line_end if head else None
    expected = each.line_previous == end if each.on_line else each.line_previous is None
    if not expected and (head is not None or not horizon):
        raise StateDamaged(f"cannot rely on the database: r{each.revision} does not fit the line of {each.unit}")


def _follow(each: Changeset, change: Change, made: dict[int, Instance], horizon: int) -> None:
    before = made.pop(change.instance_id, None)
    known = before.document if before else None
    older = before is None and change.first_revision <= horizon
    if known != change.before and not older:
        raise StateDamaged(
            f"cannot rely on the database: r{each.revision} changed instance {change.instance_id} of {each.unit} "
            "from something else than it was"
        )
    if change.after is not None:
        made[change.instance_id] = Instance(
            change.instance_id, each.unit, change.after, change.first_revision, each.revision
        )


def _compare(unit: str, tx: Transaction, made: dict[int, Instance], horizon: int) -> None:
    stored = {each.id: each for each in tx.instances.all(unit) if each.id in made or each.revision > horizon}
    if stored != made:
        wrong = next(number for number in sorted({*stored, *made}) if stored.get(number) != made.get(number))
        raise StateDamaged(
            f"cannot rely on the database: instance {wrong} of {unit} is not what its changesets make it"
        )
