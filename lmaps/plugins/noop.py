"""``noop``: for units whose state is all that matters."""

from pathlib import Path

from lmaps.core import strict_yaml
from lmaps.core.handlers import State, UnitHandler


class Noop(UnitHandler):
    """Keeps state only: succeeds, and prints the state."""

    type = "noop"
    preview = "full"

    def apply(self, state: State, folder: Path) -> None:
        """Print the state as YAML."""
        print(strict_yaml.dump(state.masked), end="")

    def show(self, state: State, folder: Path) -> bool:
        """There is nothing that it would do."""
        return False
