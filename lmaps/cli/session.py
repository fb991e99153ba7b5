"""One call of ``lmaps``: its global options, the daemon's client, and the two streams it prints to.

stdout gets data and nothing else, in the format asked for; stderr gets messages, progress and hints. All output passes
`Session`, which escapes what commands a terminal or is not seen; a test refuses any other way out.
"""

import contextlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO, TypeVar

import click

from lmaps.cli import render
from lmaps.errors import LmapsError, UsageError
from lmaps.util.lazy import LazyModule
from lmaps.util.terminal import visible, visible_lines

if TYPE_CHECKING:
    import pathlib

    from lmaps import client, config, protocol
    from lmaps.util import times
else:
    # --help, --version and completion scripts talk to no daemon: they start without its client.
    client, config, protocol = (LazyModule(f"lmaps.{name}") for name in ("client", "config", "protocol"))
    times = LazyModule("lmaps.util.times")
    pathlib = LazyModule("pathlib")  # 2 ms, needed only where a stream is closed

DEFAULT_TIMEOUT_S = 30.0
STRUCTURED_FORMATS = ("yaml", "json", "pretty", "dict")

DIM, PLAIN, CLEAR_LINE = "\x1b[2m", "\x1b[0m", "\r\x1b[2K"
"""What lMaPS itself sends to terminals."""


Row = TypeVar("Row", bound=NamedTuple)


def read_row(shape: type[Row], row: Mapping[str, object]) -> Row:
    """Return a row of an answer as the named tuple ``shape``; fields that it does not have are left out."""
    construct: Any = shape
    values: Row = construct(**{name: row[name] for name in shape._fields if name in row})
    return values


class Session:
    """One call of ``lmaps``: its global options, the client of the daemon, and the output to the user.

    ``client`` is created from the options at the first request, unless the caller passes one, as tests do.
    """

    def __init__(
        self,
        client: "client.Client | None" = None,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        endpoint: str | None = None,
    ) -> None:
        self.client = client
        self.stdout = stdout or _open_stream("stdout")
        self.stderr = stderr or _open_stream("stderr")
        self.endpoint = endpoint
        self.config: str | None = None
        self.format: str | None = None
        self.color = "auto"
        self.quiet = False
        self.verbose = False
        self.timeout: str | None = None
        self.client_key: str | None = None
        self.server_public_key: str | None = None

    @property
    def output_format(self) -> str:
        """The format of data: that of --format, else a table on a terminal and YAML elsewhere."""
        return self.format or ("table" if self.stdout.isatty() else "yaml")

    @property
    def structured(self) -> bool:
        """Whether the user chose a format for programs."""
        return self.format in STRUCTURED_FORMATS

    @property
    def in_color(self) -> bool:
        """Whether data is coloured: as --color says; with ``auto`` on a terminal, unless NO_COLOR is set."""
        if self.color == "auto":
            return self.stdout.isatty() and not os.environ.get("NO_COLOR")
        return self.color == "always"

    def connect(self) -> "client.Client":
        """Return the client, made at the first call."""
        if self.client is None:
            self.client = _make_client(self)
        return self.client

    @cached_property
    def config_file(self) -> str | None:
        """The configuration that was named, else the first that is found and can be trusted, or None.

        A file that is passed over is named even under --quiet, and once: the command acts by another one.
        """
        return self.config or os.environ.get("LMAPS_CONFIG") or config.find_trusted_file(self.print_error)

    def call(self, verb: str, *, request_key: str | None = None, **args: object) -> "protocol.Reply":
        """Send a request and return its reply; arguments that are None are left out.

        Raises the error of a request that was refused, and `UsageError` for text that is not UTF-8.
        """
        # The schemas of requests know no null: an option that was not given is not sent.
        args = {name: value for name, value in args.items() if value is not None}
        begin = time.monotonic()
        try:
            reply = self.connect().ask(protocol.Request(verb, args, key=request_key, door="cli"))
        except UnicodeEncodeError as error:
            raise UsageError(f"cannot send {_text_around(error)}: it is not UTF-8") from error
        if self.verbose:
            took_ms = (time.monotonic() - begin) * 1000
            self.print_error(f"{verb}: {reply.code or 'ok'} from {self.connect().endpoint} in {took_ms:.0f} ms")
        if reply.code is not None:
            raise reply.error()
        return reply

    def print_message(self, text: str) -> None:
        """Print a line for people on stderr, unless --quiet was given."""
        if not self.quiet:
            self.print_error(text)

    def print_error(self, text: str) -> None:
        """Print a line on stderr even under --quiet. A stderr that cannot be written to is no error."""
        self._write_error(visible(text) + "\n")

    def draw_progress(self, text: str) -> None:
        """Replace what stands in the terminal's line by ``text``; the next text takes its place."""
        self._write_error(CLEAR_LINE + visible(text))

    def _write_error(self, text: str) -> None:
        try:
            self.stderr.write(text)
            self.stderr.flush()
        except OSError:
            _discard_buffer(self.stderr)

    def write(self, text: str) -> None:
        """Write lines to stdout. A reader that has gone away ends the command with exit code 0."""
        self._write(visible_lines(text))

    def _write(self, text: str) -> None:
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except OSError as error:
            _discard_buffer(self.stdout)
            if isinstance(error, BrokenPipeError):
                raise click.exceptions.Exit(0) from error
            raise LmapsError(f"cannot write to stdout: {error.strerror}") from error

    def print_data(
        self, value: object, table: "render.Table | None" = None, names: Sequence[str] | None = None
    ) -> None:
        """Print ``value`` in the output format.

        ``table`` is its form for people (YAML if there is none), ``names`` are the lines of ``-o name``.
        """
        form = self.output_format
        if form == "name":
            self.write("".join(f"{visible(name)}\n" for name in names or ()))
        elif form == "table" and table is not None:
            self._write_table(table)
        else:
            self.write(render.render(value, "yaml" if form == "table" else form))

    def _write_table(self, table: "render.Table") -> None:
        lines = render.table_lines(table)
        if table.headers and self.in_color:
            lines[0] = f"{DIM}{lines[0]}{PLAIN}"  # the lines are visible already: `write` would escape the colour
        self._write("".join(f"{line}\n" for line in lines))

    def print_lines(self, value: object, lines: Sequence[str], names: Sequence[str] | None = None) -> None:
        """Print ``value`` in the output format; where that is a table, print ``lines`` instead."""
        self.print_data(value, render.Table((), [(line,) for line in lines]), names)


def _open_stream(name: str) -> TextIO:
    """Return stdout or stderr with UTF-8 in every locale; /dev/null if the stream is closed."""
    stream: Any = getattr(sys, name)
    if stream is None:
        return pathlib.Path(os.devnull).open("w", encoding="utf-8")
    if hasattr(stream, "reconfigure"):
        # In the C locale, as under cron, Python would fail at the first letter that is not ASCII.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    return stream  # type: ignore[no-any-return]


def _text_around(error: UnicodeEncodeError) -> str:
    """Return the argument that cannot be encoded, up to and including its first bad character."""
    return repr(error.object[: error.end].rpartition('"')[2])


def _discard_buffer(stream: TextIO) -> None:
    """Point the stream at /dev/null: Python flushes it again at exit, and would print a second error."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _make_client(session: Session) -> "client.Client":
    """Return a client; an option overrides its environment variable, which overrides the configuration."""
    settings = config.client_settings(session.config_file)
    named = session.endpoint or os.environ.get("LMAPS_ENDPOINT")
    client_key = session.client_key or os.environ.get("LMAPS_CLIENT_KEY") or settings.client_key
    server_key = session.server_public_key or os.environ.get("LMAPS_SERVER_PUBLIC_KEY") or settings.server_public_key
    return client.Client(
        named or settings.endpoint,
        times.parse_duration(session.timeout) if session.timeout else settings.timeout or DEFAULT_TIMEOUT_S,
        session.print_message,
        client_key or config.CLIENT_KEY,
        server_key or config.SERVER_PUBLIC_KEY,
        # Who names a socket knows whose it is. One that was found must not get documents for somebody else.
        None if named else settings.trusted_uids,
    )
