"""``--set``: properties as texts, on the command line or, for secrets, in a file, on stdin, or asked on the terminal.

Every user of a host can read the arguments of its processes (``ps``), and shells keep them in their history.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lmaps.cli.documents import read_file
from lmaps.errors import UsageError
from lmaps.model.diff import pointer
from lmaps.util.lazy import LazyModule
from lmaps.util.terminal import visible

if TYPE_CHECKING:
    import getpass
else:
    getpass = LazyModule("getpass")  # needed only to ask on the terminal

STDIN = "-"


class Assignment(NamedTuple):
    """One ``--set``: the property's name, and where its text comes from.

    ``text`` is the one on the command line; else ``file`` is the file to read (``-`` is stdin); with neither the user
    is asked.
    """

    name: str
    text: str | None = None
    file: str | None = None

    @classmethod
    def parse(cls, option: str) -> "Assignment":
        """Return what ``K=V``, ``K=@FILE``, ``K=@-``, ``K=@@V`` or ``K`` says. Raises `UsageError` without a name."""
        name, equals, text = option.partition("=")
        if not name:
            raise UsageError(f"cannot read --set {option}: expected PROPERTY=VALUE")
        if not equals:
            return cls(name)
        if not text.startswith("@"):
            return cls(name, text)
        if text.startswith("@@"):
            return cls(name, text[1:])
        if text == "@":
            raise UsageError(f"cannot read --set {option}: expected {name}=@FILE; a value of one @ is {name}=@@")
        return cls(name, file=text[1:])

    def to_argument(self) -> dict[str, Any]:
        """Return the argument of create and set, after reading the file or asking the user."""
        path = pointer(self.name.split("."))
        if self.text is not None:
            return {"path": path, "text": self.text}
        text = _ask(self.name) if self.file is None else _read_text(self.file)
        return {"path": path, "text": text, "private": True}


def parse_assignments(options: Sequence[str], files: Sequence[str] = ()) -> list[Assignment]:
    """Return what the values of ``--set`` say; ``files`` are those of ``--file``.

    Raises `UsageError` for one that cannot be read, and if stdin would have to be read twice.
    """
    assignments = [Assignment.parse(option) for option in options]
    readers = [f"--set {part.name}=@-" for part in assignments if part.file == STDIN] + ["-f -"] * files.count(STDIN)
    if len(readers) > 1:
        raise UsageError(f"{' and '.join(readers)} do not go together: stdin can be read once")
    return assignments


def text_args(assignments: Sequence[Assignment]) -> dict[str, Any]:
    """Return the argument of create and set; none without assignments.

    The daemon reads the texts by the types of the unit. Raises `UsageError` for a file that cannot be read, and if the
    user cannot be asked.
    """
    # Asking comes last: nobody should type a password for a command that then stops at a missing file.
    in_order = sorted(dict.fromkeys(assignments), key=lambda part: part.text is None and part.file is None)
    arguments = {part: part.to_argument() for part in in_order}
    return {"texts": [arguments[part] for part in assignments]} if assignments else {}


def _read_text(name: str) -> str:
    """Return the text of a file or of stdin without the line break at its end, which editors and ``echo`` add."""
    data = read_file(name)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        shown = "stdin" if name == STDIN else name
        raise UsageError(f"cannot read {shown}: it is not UTF-8 text (byte {error.start})") from error
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def _ask(name: str) -> str:
    """Return what the user types on the terminal, without echo. Raises `UsageError` without a terminal or an answer."""
    if not _has_terminal():
        raise UsageError(
            f"cannot ask for {name}: there is no terminal",
            hint=f"--set {name}=@FILE reads it from a file, @- from stdin",
        )
    try:
        text = getpass.getpass(f"{visible(name)}: ")
    except EOFError:
        text = ""
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read {name} from the terminal: it is not UTF-8 text") from error
    if not text:
        raise UsageError(f"no value was given for {name}", hint=f"--set {name}= sets an empty text")
    return text


def _has_terminal() -> bool:
    """Return whether `getpass` has a terminal; without one it would echo, or read the documents on stdin."""
    with contextlib.suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        return True
    return sys.stdin is not None and sys.stdin.isatty()
