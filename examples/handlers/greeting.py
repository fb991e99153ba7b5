"""A handler of your own: the whole of it. Put it into a directory that `plugin_dirs` names."""

from pathlib import Path

from lmaps.handlers.base import State, UnitHandler


class Greeting(UnitHandler):
    """Greets everybody in the state, in a file of the home directory."""

    type = "greeting"
    preview = "none"
    args_schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"word": {"type": "string", "default": "Hello"}},
    }

    def apply(self, state: State, folder: Path) -> None:
        """Write the file whole, then say so. What is printed here is the output of the job."""
        word = self.unit.args.get("word", "Hello")
        lines = [f"{word}, {row['name']}!" for row in state.completed]
        (Path.home() / "greetings.txt").write_text("".join(f"{line}\n" for line in lines))
        print("\n".join(lines))
