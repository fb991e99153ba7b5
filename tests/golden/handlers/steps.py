"""The handler of the golden states: it prints, tells events, and holds or fails where a file says so."""

from pathlib import Path

from lmaps.handlers.base import State, UnitHandler
from lmaps.process import Program

SCRIPT = """\
echo "first step of $1"
echo "a word on stderr" >&2
echo '{"event": "step", "step": 1, "text": "step 1 is done"}' > "/proc/self/fd/$LMAPS_EVENT_FD"
[ ! -e "$HOME/hold-$1" ] || exec sleep 600
[ ! -e "$HOME/fail-$1" ] || exit 3
"""


class Steps(UnitHandler):
    """Does nothing in some steps."""

    type = "steps"
    preview = "partial"

    def program(self, state: State, folder: Path) -> Program:
        """The steps."""
        return Program(("sh", "-c", SCRIPT, "sh", self.unit.name), events=True)

    def plan(self, state: State, folder: Path) -> Program:
        """The first step alone."""
        return Program(("echo", "would do the steps"))
