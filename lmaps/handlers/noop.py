"""``noop``: for units whose state is all that matters."""

from pathlib import Path

from lmaps.handlers.base import State, UnitHandler
from lmaps.util import yamlio


class Noop(UnitHandler):
    """Keeps state only: succeeds, and prints the state."""

    type = "noop"
    preview = "full"

    def apply(self, state: State, folder: Path) -> None:
        """Print the state as YAML."""
        print(yamlio.dump(state.masked), end="")

    def show(self, state: State, folder: Path) -> bool:
        """Return False: nothing would change."""
        return False
