"""The history against a model in plain Python: whatever is done in whatever order, both agree.

In one process many runs, against a live daemon some. ``HISTORY_RUNS=2000 HISTORY_LIVE_RUNS=50`` is the full measure.
"""

import copy
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from lmaps import Client
from lmaps.errors import LmapsError
from tests.daemons import RunningDaemon
from tests.history_model import UNITS, Model, Refused
from tests.in_process import InProcess

RUNS = int(os.environ.get("HISTORY_RUNS", "40"))
LIVE_RUNS = int(os.environ.get("HISTORY_LIVE_RUNS", "3"))
STEPS = 40
QUICK_DISK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

UNIT = st.sampled_from(["p", "c"])
NUMBER = st.integers(1, 3)
DOCUMENT = st.fixed_dictionaries({"k": st.sampled_from("abcd")}, optional={"n": NUMBER, "m": NUMBER})
DOCUMENTS = st.lists(DOCUMENT, min_size=1, max_size=3)
PICK = st.integers(0, 1000)
STEP_COUNT = st.integers(1, 4)


class History(RuleBasedStateMachine):
    """Every step is done by the daemon and by the model; what they answer and what is there after it is the same."""

    def __init__(self, open_lmaps: Callable[[], Any]) -> None:
        super().__init__()
        self.context = open_lmaps()
        self.lmaps = self.context.__enter__()
        self.model = Model()

    def teardown(self) -> None:
        try:
            self.check_history()
            self.check_moving()
        finally:
            self.context.__exit__(None, None, None)

    def both(self, step: Callable[[Model], None], verb: str, dry: bool = False, /, **args: Any) -> None:
        """Do a step here and there; a dry run first, which only tells what would be."""
        unit = args["unit"] if "unit" in args else args["units"][0]["unit"]
        ahead = copy.deepcopy(self.model)
        code = None
        try:
            step(ahead)
        except Refused as refused:
            code = str(refused)
            ahead = self.model
        for dry_run in (True, False) if dry else (False,):
            told, level = self.ask(verb, dry_run=dry_run, **args)
            assert told == code, f"{verb} {args}: {told} instead of {code}"
            if dry_run:
                differs = ahead.state(unit) != self.model.state(unit) and ahead.differences(
                    unit, self.model.revision, ahead.revision
                )
                assert code or level == int(bool(differs)), f"dry {verb} {args}"
                self.check(unit)
        self.model = ahead
        self.check(unit)

    def ask(self, verb: str, **args: Any) -> tuple[str | None, int]:
        try:
            return None, self.lmaps.call(verb, **args).level
        except LmapsError as refused:
            return refused.code, refused.level

    def key(self, unit: str, pick: int) -> str:
        """The ID of some instance that is there; now and then one that is not."""
        rows = self.model.state(unit)
        return rows[pick % len(rows)].document[0] if rows and pick % 11 else "zz"

    @rule(unit=UNIT, documents=DOCUMENTS, dry=st.booleans())
    def create(self, unit: str, documents: list[Any], dry: bool) -> None:
        self.both(lambda model: model.create(unit, documents), "create", dry, unit=unit, instances=documents)

    @rule(unit=UNIT, document=DOCUMENT, pick=PICK)
    def create_if(self, unit: str, document: Any, pick: int) -> None:
        expected = self.model.units[unit].head if pick % 3 else pick

        def step(model: Model) -> None:
            model.expect(unit, expected)
            model.create(unit, [document])

        self.both(step, "create", unit=unit, instances=[document], if_rev=f"r{expected}")

    @rule(unit=UNIT, pick=PICK, document=DOCUMENT)
    def put(self, unit: str, pick: int, document: Any) -> None:
        key = self.key(unit, pick)
        if self.model.units[unit].by_key and pick % 5:
            document = {name: value for name, value in document.items() if name != "k"}
        self.both(lambda model: model.set(unit, key, document, {}, []), "set", unit=unit, id=key, instance=document)

    @rule(
        unit=UNIT,
        pick=PICK,
        put=st.fixed_dictionaries({}, optional={"n": NUMBER, "m": NUMBER}),
        drop=st.sets(st.sampled_from("nm")),
        dry=st.booleans(),
    )
    def set(self, unit: str, pick: int, put: Any, drop: Any, dry: bool) -> None:
        key = self.key(unit, pick)
        if not put and not drop:
            return
        self.both(
            lambda model: model.set(unit, key, None, put, sorted(drop)),
            "set",
            dry,
            unit=unit,
            id=key,
            set=[{"path": f"/{name}", "value": value} for name, value in put.items()],
            unset=[f"/{name}" for name in sorted(drop)],
        )

    @rule(unit=UNIT, picks=st.lists(PICK, min_size=1, max_size=3), dry=st.booleans())
    def delete(self, unit: str, picks: list[int], dry: bool) -> None:
        keys = list(dict.fromkeys(self.key(unit, pick) for pick in picks))
        self.both(lambda model: model.delete(unit, keys), "delete", dry, unit=unit, ids=keys)

    @rule(unit=UNIT, steps=STEP_COUNT, dry=st.booleans())
    def rollback(self, unit: str, steps: int, dry: bool) -> None:
        self.both(lambda model: model.rollback(unit, steps), "rollback", dry, unit=unit, steps=steps)

    @rule(unit=UNIT, pick=PICK, dry=st.booleans())
    def rollback_to(self, unit: str, pick: int, dry: bool) -> None:
        to = pick % (self.model.revision + 1)
        self.both(lambda model: model.rollback_to(unit, to), "rollback", dry, unit=unit, to=f"r{to}")

    @rule(unit=UNIT, steps=STEP_COUNT, dry=st.booleans())
    def redo(self, unit: str, steps: int, dry: bool) -> None:
        self.both(lambda model: model.redo(unit, steps), "redo", dry, unit=unit, steps=steps)

    @rule(unit=UNIT, pick=PICK, dry=st.booleans())
    def revert(self, unit: str, pick: int, dry: bool) -> None:
        line = self.model.units[unit].line
        revision = line[pick % len(line)][0] if line and pick % 7 else pick % (self.model.revision + 2)
        if revision:
            self.both(lambda model: model.revert(unit, revision), "revert", dry, unit=unit, revision=f"r{revision}")

    @rule(
        unit=UNIT,
        documents=st.lists(DOCUMENT, max_size=4),
        mode=st.sampled_from(["merge", "replace", "skip"]),
        limit=st.integers(0, 4),
    )
    def take_in(self, unit: str, documents: list[Any], mode: str, limit: int) -> None:
        self.both(
            lambda model: model.import_(unit, documents, mode, limit),
            "import",
            units=[{"unit": unit, "instances": documents}],
            mode=mode,
            max_deletes=limit,
        )

    @rule(unit=UNIT)
    def take_in_what_was_written_out(self, unit: str) -> None:
        """Export, then import: nothing changes, in whatever mode."""
        told = self.lmaps.call("export", units=[unit]).extra["units"][0]
        for mode in ("merge", "replace", "skip"):
            self.lmaps.call("import", units=[{"unit": unit, "instances": told["instances"]}], mode=mode)
        self.check(unit)

    @rule(unit=UNIT, pick=PICK)
    def look_back(self, unit: str, pick: int) -> None:
        at = pick % (self.model.revision + 1)
        rows = self.lmaps.call("show", unit=unit, at=f"r{at}", instances=True).extra["instances"]
        assert self.told(rows) == [(*row.document, row.revision) for row in self.model.then[at][unit]]

    @rule(unit=UNIT, pick=PICK, other=PICK)
    def compare(self, unit: str, pick: int, other: int) -> None:
        older, newer = sorted(each % (self.model.revision + 1) for each in (pick, other))
        reply = self.lmaps.call("diff", unit=unit, **{"from": f"r{older}", "to": f"r{newer}"})
        assert [(row["sign"], row["id"]) for row in reply.extra["diff"]] == self.model.differences(unit, older, newer)
        assert reply.level == int(bool(reply.extra["diff"]))

    @invariant()
    def revisions_agree(self) -> None:
        assert self.lmaps.call("status").extra["revision"] == self.model.revision

    def check(self, unit: str) -> None:
        """What is there, to the byte, and what redo would bring back."""
        rows = self.lmaps.call("show", unit=unit, instances=True).extra["instances"]
        assert self.told(rows) == [(*row.document, row.revision) for row in self.model.state(unit)]
        undone = self.lmaps.call("export", units=[unit]).extra["units"][0]["undone"]
        expected = [each.after[1] for _, some in self.model.units[unit].redo for each in some if each.after]
        assert sorted(json.dumps(each) for each in undone) == sorted(expected)

    def told(self, rows: list[Any]) -> list[tuple[str, str, str, int]]:
        return [(row["id"], json.dumps(row["given"]), json.dumps(row["completed"]), row["revision"]) for row in rows]

    def check_history(self) -> None:
        rows = self.lmaps.call("history", limit=10_000).extra["changesets"]
        told = [(row["revision"], row["kind"], row["unit"], row["target"]) for row in rows[::-1]]
        assert told == self.model.log
        if isinstance(self.lmaps, InProcess):
            assert self.lmaps.replayed() == self.model.revision

    def check_moving(self) -> None:
        """Everything written out with its history, and taken in by an empty state, is the same again."""
        exported = self.lmaps.call("export", history=True).extra
        with in_process() as other:
            units = [{name: unit[name] for name in ("unit", "definitions", "history")} for unit in exported["units"]]
            other.call("import_history", units=units)
            assert other.call("export", history=True).extra == exported
            with in_process() as plain:
                units = [{name: unit[name] for name in ("unit", "instances")} for unit in exported["units"]]
                plain.call("import", units=units)
                for unit in ("p", "c"):
                    assert plain.call("show", unit=unit).extra["state"] == other.call("show", unit=unit).extra["state"]


@contextmanager
def in_process() -> Iterator[InProcess]:
    """An empty state."""
    with (
        tempfile.TemporaryDirectory(prefix="lm", dir=QUICK_DISK) as directory,
        InProcess(Path(directory), UNITS) as lmaps,
    ):
        yield lmaps


@contextmanager
def live() -> Iterator[Client]:
    """A daemon of its own, and a client."""
    with tempfile.TemporaryDirectory(prefix="lm", dir="/tmp") as directory:
        daemon = RunningDaemon(Path(directory), UNITS, workers=1)
        try:
            daemon.wait_ready()
            with Client(daemon.endpoint) as client:
                yield client
        finally:
            daemon.end()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("open_lmaps", "runs"), [(in_process, RUNS), (live, LIVE_RUNS)], ids=["in process", "live"])
def test_the_history_is_what_the_model_says(open_lmaps: Callable[[], Any], runs: int) -> None:
    machine: Any = partial(History, open_lmaps)  # it is called for each run, as a class would be
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            phases=[Phase.generate] if open_lmaps is live else [Phase.generate, Phase.shrink],
        ),
    )
