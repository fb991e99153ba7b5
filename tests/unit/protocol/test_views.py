"""Views: what they are on the wire, there and back."""

import json

import pytest

from lmaps.model.diff import MISSING, Difference
from lmaps.protocol import views

JOB = {
    "job": 3, "unit": "web", "kind": "apply", "revision": 2, "state": "queued", "rc": None, "summary": {"ok": 1},
    "error": None, "author": "me", "on_behalf_of": None, "door": "cli", "message": "go", "ticket": None,
    "queued_at": "2026-01-01T00:00:00Z", "started_at": None, "ended_at": None, "covered_by": None, "timeout": 1.5,
    "repeats": None, "undoes": None, "confirmation": "undoing", "confirm_deadline": None, "previous_revision": 1,
    "outcome": "queued", "over": False, "place": 1,
    "after": {"job": 2, "author": "you", "started_at": "2026-01-01T00:00:00Z"},
    "undone_by": {"job": 4, "revision": 5, "state": "queued"},
}  # fmt: skip
CHANGED = {"sign": "~", "id": "a", "short": "a"}
DIFF = CHANGED | {"named_by": "host", "differences": [{"path": "/port", "before": 80, "after": 81}]}
CHANGESET = {
    "revision": 2, "kind": "set", "unit": "web", "at": "2026-01-01T00:00:00Z", "author": "me", "on_behalf_of": None,
    "door": "api", "message": None, "ticket": None, "target": None, "instances": 1, "changes": [CHANGED],
}  # fmt: skip
ROW = {"id": "a", "short": "a", "result": "created", "revision": 2}
UNIT = {
    "unit": "web", "type": "YamlList", "handler": "noop", "instances": 1, "revision": 2, "applied": None,
    "condition": "pending 1",
}  # fmt: skip
STATUS = {"unit": "web", "handler": "noop", "secrets": True, "revision": 2, "applied": 1, "condition": "in sync"}


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        (views.JobView, JOB),
        (views.JobView, JOB | {"place": None, "after": None, "undone_by": None}),
        (views.ChangesetView, CHANGESET),
        (views.ChangesetView, CHANGESET | {"diff": [DIFF]}),
        (views.InstanceDiff, DIFF | {"unit": "web"}),
        (views.InstanceRow, ROW),
        (views.InstanceRow, {"unit": "web", **ROW}),
        (views.UnitView, UNIT),
        (views.UnitStatus, STATUS),
    ],
)
def test_a_view_is_on_the_wire_what_it_was(kind: type[views.View], row: dict[str, object]) -> None:
    view = kind.from_json(row | {"of a newer version": 1})
    assert json.dumps(view.to_json()) == json.dumps(row)
    assert kind.from_json(view.to_json()) == view


def test_parts_of_a_view_are_views() -> None:
    job = views.JobView.from_json(JOB)
    assert job.undone_by == views.UndoView(4, 5, "queued")
    assert job.after == views.RunningJob(2, "you", "2026-01-01T00:00:00Z")
    changeset = views.ChangesetView.from_json(CHANGESET | {"diff": [DIFF | {"differences": [{"path": "/x"}]}]})
    assert changeset.diff is not None
    assert changeset.diff[0].differences == [Difference(("x",), MISSING, MISSING)]
