"""What comes in: documents of files, directories and stdin, and properties from ``--set``."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lmaps.errors import DocumentRefused, Finding, LmapsError, MessageRefused, UsageError
from lmaps.util import jsonio

if TYPE_CHECKING:
    from lmaps.util import yamlio
import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from lmaps.util.failpoints import failpoint

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILE = 64 * 1024 * 1024
"""Bytes of one file that are read."""


class Given(NamedTuple):
    """A document that the user gave, with the way back to its place in a file."""

    value: Any
    document: "yamlio.Document | None" = None
    at: tuple[str | int, ...] = ()

    def locate(self, finding: Finding) -> Finding:
        """``finding`` with its place in the user's file, where there is one."""
        if self.document is None:
            return finding
        return self.document.locate(finding._replace(at=self.at + finding.at))._replace(at=finding.at)


def read_documents(names: Sequence[str]) -> list[Given]:
    """The documents in files, in directories (their files sorted) and on stdin (``-``). A list holds one each."""
    given = [one for name in names for path in expand(name) for one in _read(path)]
    if not given:
        raise UsageError(f"cannot find a document in {', '.join(names)}")
    return given


def expand(name: str) -> list[str]:
    """The files in a directory, sorted; anything else as it is. `UsageError` if there is nothing to be read."""
    from pathlib import Path  # noqa: PLC0415 (who gives no file does without)

    path = Path(name)
    try:
        if name == "-" or not path.is_dir():
            return [name]
        found = sorted(str(file) for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from error
    if not found:
        raise UsageError(f"cannot find a document in {name}: it has no *.yaml, *.yml or *.json")
    return found


def read_text(name: str) -> bytes:
    """What is in a file or on stdin (``-``); `UsageError` if it cannot be read."""
    from pathlib import Path  # noqa: PLC0415 (as above)

    try:
        if name == "-":
            if sys.stdin is None:
                raise UsageError("cannot read stdin: it is closed")
            data = sys.stdin.buffer.read(MAX_FILE + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from error
    if len(data) > MAX_FILE:
        raise UsageError(f"cannot read {name}: it has more than {MAX_FILE // 2**20} MiB")
    return data


def _read(name: str) -> Iterator[Given]:
    from lmaps.util import yamlio  # noqa: PLC0415 (who gives no file does without)

    data = read_text(name)
    shown = "stdin" if name == "-" else name
    for document in _json(data, shown) if name.endswith(".json") else yamlio.load(data, file=shown):
        if isinstance(document.value, list):
            yield from (Given(each, document, (index,)) for index, each in enumerate(document.value))
        else:
            yield Given(document.value, document)


def _json(data: bytes, name: str) -> "list[yamlio.Document]":
    from lmaps.util import yamlio  # noqa: PLC0415

    try:
        value = jsonio.decode(data)
    except MessageRefused as refused:
        reason = refused.message.removeprefix("cannot read the message: ")
        raise DocumentRefused(f"cannot read {name}: {reason}", errors=[Finding(reason, file=name)]) from refused
    return [yamlio.Document(value, name, data.decode(), 0)]


def assignments(pairs: Sequence[str], types: Callable[[], dict[str, str]]) -> list[tuple[tuple[str, ...], Any]]:
    """Path and value of each ``K=V`` pair, ``a.b=V`` for a nested property.

    ``types`` tells the type of each property: where it is string the value is text as it stands, else it is read as
    YAML (``8080``, ``true``, ``[a, b]``); where a string is one of several types, text is what fits none of the others.
    """
    known = types() if pairs else {}
    made = []
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"cannot read --set {pair}: expected PROPERTY=VALUE")
        made.append((tuple(name.split(".")), _typed(name, text, known.get(name, "any").split(" or "))))
    return made


def set_properties(pairs: Sequence[str], types: Callable[[], dict[str, str]]) -> dict[str, Any]:
    """A document from `assignments`."""
    made: dict[str, Any] = {}
    for (*above, last), value in assignments(pairs, types):
        target = made
        for key in above:
            target = target.setdefault(key, {})
            if not isinstance(target, dict):
                raise UsageError(f"cannot set {'.'.join([*above, last])}: {key} has a value already")
        target[last] = value
    return made


def _typed(name: str, text: str, types: Sequence[str]) -> Any:
    """``text`` as a value of the first of ``types`` that it can be; a string only where it can be no other."""
    if "string" not in types:
        return _value(name, text)
    others = {*types, *(["integer"] if "number" in types else [])} - {"string"}
    try:
        value = _value(name, text) if others else text
    except UsageError:
        return text
    return value if jsonio.type_name(value) in others else text


def _value(name: str, text: str) -> Any:
    from lmaps.util import yamlio  # noqa: PLC0415

    try:
        documents = yamlio.load(text)
    except LmapsError as error:
        raise UsageError(f"cannot read --set {name}={text}: {error.message}") from error
    return documents[0].value if documents else None


def write_whole(path: Path, parts: Iterable[bytes]) -> None:
    """Write ``path`` aside, make it durable, and move it into place; `UsageError` if that cannot be done.

    What is no file (a directory, a device, a pipe) is never replaced.
    """
    aside = _name_aside(path)
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        failpoint("export.before_rename")
        aside.rename(path)
        failpoint("export.after_rename")
        _sync_directory(path.parent)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def _name_aside(path: Path) -> Path:
    try:
        special = path.exists() and not path.is_file()
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    if special:
        raise UsageError(f"cannot write {path}: it is no file; without --output data goes to stdout")
    return path.with_name(f".{path.name}.{os.getpid()}")


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
