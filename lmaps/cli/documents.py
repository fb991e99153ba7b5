"""Documents that the user hands in, by files, directories and stdin; and files that commands write."""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lmaps.errors import DocumentRefused, Finding, MessageRefused, UsageError
from lmaps.util import jsonio
from lmaps.util.lazy import LazyModule

if TYPE_CHECKING:
    import pathlib

    from lmaps.util import failpoints, ownership, yamlio
else:
    # 25 ms, needed only where a file is read or written.
    pathlib, yamlio = LazyModule("pathlib"), LazyModule("lmaps.util.yamlio")
    failpoints, ownership = LazyModule("lmaps.util.failpoints"), LazyModule("lmaps.util.ownership")

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILE_BYTES = 64 * 1024 * 1024


class InputDocument(NamedTuple):
    """A document that the user handed in.

    value   the document
    source  the document of a file that holds it, None for one made of ``--set``
    at      the keys and indices that lead to it inside ``source``
    """

    value: Any
    source: "yamlio.Document | None" = None
    at: tuple[str | int, ...] = ()

    def locate(self, finding: Finding) -> Finding:
        """Return ``finding``, which is about this document, with its place in the user's file if there is one."""
        if self.source is None:
            return finding
        return self.source.locate(finding._replace(at=self.at + finding.at))._replace(at=finding.at)


def read_documents(names: Sequence[str]) -> list[InputDocument]:
    """Return the documents in files, in directories (their files sorted) and on stdin (``-``).

    A document that is a list stands for its items. Raises `UsageError` if there is no document at all.
    """
    documents = [document for name in names for path in expand(name) for document in _read(path)]
    if not documents:
        raise UsageError(f"cannot find a document in {', '.join(names)}")
    return documents


def expand(name: str) -> list[str]:
    """Return the files in a directory, sorted; the name itself if it is none.

    Raises `UsageError` if the directory cannot be read or has no file that is YAML or JSON by its name.
    """
    path = pathlib.Path(name)
    try:
        if name == "-" or not path.is_dir():
            return [name]
        files = sorted(str(file) for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from error
    if not files:
        raise UsageError(f"cannot find a document in {name}: it has no *.yaml, *.yml or *.json")
    return files


def read_file(name: str) -> bytes:
    """Return the content of a file or of stdin (``-``). Raises `UsageError` if it cannot be read or is too large."""
    try:
        if name == "-":
            if sys.stdin is None:
                raise UsageError("cannot read stdin: it is closed")
            # One byte more than allowed tells that there is more, without reading all of it into memory.
            data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with pathlib.Path(name).open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise UsageError(f"cannot read {name}: it has more than {MAX_FILE_BYTES // 2**20} MiB")
    return data


def _read(name: str) -> Iterator[InputDocument]:
    data = read_file(name)
    shown = "stdin" if name == "-" else name
    for document in _read_json(data, shown) if name.endswith(".json") else yamlio.load(data, file=shown):
        if isinstance(document.value, list):
            yield from (InputDocument(item, document, (index,)) for index, item in enumerate(document.value))
        else:
            yield InputDocument(document.value, document)


def _read_json(data: bytes, name: str) -> "list[yamlio.Document]":
    try:
        value = jsonio.decode(data)
    except MessageRefused as refused:
        reason = refused.message.removeprefix("cannot read the message: ")
        raise DocumentRefused(f"cannot read {name}: {reason}", errors=[Finding(reason, file=name)]) from refused
    return [yamlio.JsonDocument(value, name, data.decode(), 0)]


def output_path(name: str) -> "pathlib.Path":
    """Return the file that the user has named, links followed, so that a link stays one.

    Raises `UsageError` for a link that somebody else has put into a directory such as /tmp: it may lead to any file.
    """
    try:
        path, link = ownership.follow(name, os.getuid())
    except OSError as error:
        raise UsageError(f"cannot write {name}: {error.strerror}") from error
    if link is not None:
        raise UsageError(f"cannot write {name}: {link} is a link of another user; name another file")
    return pathlib.Path(path)


def write_whole(path: "pathlib.Path", parts: Iterable[bytes]) -> None:
    """Write ``path`` with mode 0600, whole or not at all, also across a power cut.

    Raises `UsageError` if it cannot be written, and for anything but a file (a directory, a device, a pipe).
    """
    temporary = _temporary_name(path)
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.writelines(parts)
            file.flush()
            # Before the rename: else a power cut leaves an empty file in the place of the old one.
            os.fsync(file.fileno())
        failpoints.failpoint("export.before_rename")
        temporary.rename(path)
        failpoints.failpoint("export.after_rename")
        # The rename itself is durable only once the directory is.
        _sync_directory(path.parent)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _temporary_name(path: "pathlib.Path") -> "pathlib.Path":
    """Return a name beside ``path``: a rename is atomic only within a file system."""
    try:
        special = path.exists() and not path.is_file()
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    if special:
        # A rename would replace /dev/null or a pipe by a file.
        raise UsageError(f"cannot write {path}: it is not a file; without --output data goes to stdout")
    return path.with_name(f".{path.name}.{os.getpid()}")


def _sync_directory(directory: "pathlib.Path") -> None:
    """Make a rename in ``directory`` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
