from pathlib import Path

import pytest

from lmaps.handlers.base import State, UnitHandler
from lmaps.model.units import parse_unit
from lmaps.process import Outcome, Program
from lmaps.util import yamlio


def unit(text="meta: {name: web, data_type: YamlKeyList, store_key: vhosts}"):
    return parse_unit(yamlio.load(text)[0])


def test_a_handler_is_set_up_in_its_context():
    class Own(UnitHandler):
        def setup(self):
            self.seen = self.context

    assert Own(context="here").seen == "here"
    assert UnitHandler().context is None


def test_a_state_is_shown_in_the_form_of_its_data_type():
    assert State(unit(), 1, [{}], [{"a": 1}]).document == {"vhosts": [{"a": 1}]}


def test_a_handler_says_what_to_run_or_applies_by_itself():
    class Runs(UnitHandler):
        """Runs."""

        type = "runs"

        def program(self, state, folder):
            return Program(("true",))

    class Applies(UnitHandler):
        """Applies."""

        type = "applies"

        def apply(self, state, folder):
            pass

    assert not Runs.is_pure_python()
    assert Applies.is_pure_python()
    assert Runs.describe()["doc"] == "Runs."
    with pytest.raises(NotImplementedError):
        Applies(context=unit()).program(State(unit(), 0, [], []), Path())


@pytest.mark.parametrize(
    ("rc", "summary"),
    [
        (0, {"ok": 1, "changed": 0, "failed": 0, "unknown": 0}),
        (10, {"ok": 1, "changed": 1, "failed": 0, "unknown": 0}),
        (1, {"ok": 0, "changed": 0, "failed": 1, "unknown": 0}),
        (-9, {"ok": 0, "changed": 0, "failed": 1, "unknown": 0}),
    ],
)
def test_a_program_is_one_step(rc, summary):
    program = Program(("x",), success=frozenset({0, 10}), changed=frozenset({10}))
    assert UnitHandler(context=unit()).summary(Outcome(rc), [], program) == summary
