"""What every command is given: the global options, the daemon, and where data and words go.

stdout has data and nothing else, in the format that was asked for; stderr has words, progress and hints.
"""

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from lmaps.cli import render
from lmaps.errors import LmapsError, UsageError

if TYPE_CHECKING:
    from lmaps.client import Client
    from lmaps.protocol import Reply

FORMATS = ("table", "yaml", "json", "pretty", "dict", "name")


def _open_stream(name: str) -> Any:
    """stdout or stderr, in UTF-8 whatever the locale says; if it was closed, what is written goes nowhere."""
    stream: Any = getattr(sys, name)
    if stream is None:
        from pathlib import Path  # noqa: PLC0415 (2 ms that only a closed stream has to pay)

        return Path(os.devnull).open("w", encoding="utf-8")
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    return stream


class Session:
    """One call of ``lmaps``: its global options, the daemon's client, and its two streams."""

    config: str | None = None
    endpoint: str | None = None
    format: str | None = None
    color: str = "auto"
    quiet: bool = False
    verbose: bool = False
    timeout: str | None = None
    client_key: str | None = None
    server_public_key: str | None = None

    def __init__(self, client: "Client | None" = None, stdout: Any = None, stderr: Any = None, **options: Any) -> None:
        self.client = client
        self.stdout = stdout or _open_stream("stdout")
        self.stderr = stderr or _open_stream("stderr")
        vars(self).update(options)

    @property
    def output_format(self) -> str:
        """The format of data: what was asked for, else a table on a terminal and YAML otherwise."""
        return self.format or ("table" if self.stdout.isatty() else "yaml")

    @property
    def in_color(self) -> bool:
        """Whether data is coloured: as asked for, else on a terminal unless NO_COLOR is set."""
        if self.color == "auto":
            return bool(self.stdout.isatty()) and not os.environ.get("NO_COLOR")
        return self.color == "always"

    def connect(self) -> "Client":
        """The client, made when it is first needed."""
        if self.client is None:
            self.client = _make_client(self)
        return self.client

    def call(self, verb: str, *, request_key: str | None = None, **args: Any) -> "Reply":
        """Ask the daemon; arguments that are None are left out. Raises what the daemon refuses with."""
        from lmaps.protocol import Request  # noqa: PLC0415 (help and completion do without)

        told = {name: value for name, value in args.items() if value is not None}
        begin = time.monotonic()
        try:
            reply = self.connect().ask(Request(verb, told, key=request_key, door="cli"))
        except UnicodeEncodeError as error:
            raise UsageError(f"cannot {verb}: {_around(error)} is not UTF-8") from error
        if self.verbose:
            took = (time.monotonic() - begin) * 1000
            self.tell(f"{verb}: {reply.code or 'ok'} from {self.connect().endpoint} in {took:.0f} ms")
        if reply.code is not None:
            raise reply.error()
        return reply

    def words(self, text: str) -> None:
        """Tell people something, unless they want it quiet."""
        if not self.quiet:
            self.tell(text)

    def tell(self, text: str) -> None:
        """Tell people something that they have to know; where stderr takes nothing, nobody is there to be told."""
        try:
            print(render.safe(text) if self.stderr.isatty() else text, file=self.stderr, flush=True)
        except OSError:
            _forget_what_is_buffered(self.stderr)

    def write(self, text: str) -> None:
        """Write data; a reader that has gone away ends the command, and is no error."""
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except OSError as error:
            _forget_what_is_buffered(self.stdout)
            if isinstance(error, BrokenPipeError):
                raise click.exceptions.Exit(0) from error
            raise LmapsError(f"cannot write to stdout: {error.strerror}") from error

    def data(self, value: Any, table: "render.Table | None" = None, names: Sequence[str] | None = None) -> None:
        """Print data: as a table where there is one and none of the other formats is asked for."""
        form = self.output_format
        if form == "name":
            text = "".join(f"{name}\n" for name in names or ())
        elif form == "table" and table is not None:
            text = render.table_text(table, terminal=self.stdout.isatty(), color=self.in_color)
        else:
            text = render.render(value, "yaml" if form == "table" else form)
        self.write(text)

    def lines(self, value: Any, lines: Sequence[str], names: Sequence[str] | None = None) -> None:
        """Print data that people read as lines rather than as a table."""
        self.data(value, render.Table((), [(line,) for line in lines]), names)

    @property
    def structured(self) -> bool:
        """Whether a program reads the data: a format of data was asked for."""
        return self.format in ("yaml", "json", "pretty", "dict")


def _around(error: UnicodeEncodeError) -> str:
    """The argument that cannot be encoded, as far as it can be told from where it stands in the request."""
    return repr(error.object[: error.end].rpartition('"')[2])


def _forget_what_is_buffered(stream: Any) -> None:
    """At its end Python tries once more to write it, and would tell that this fails too."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _make_client(session: Session) -> "Client":
    from lmaps import config  # noqa: PLC0415 (help does without)
    from lmaps.client import Client  # noqa: PLC0415 (commands that ask nobody do without)
    from lmaps.util.times import parse_duration  # noqa: PLC0415

    file = session.config or os.environ.get("LMAPS_CONFIG") or config.find_config_file()
    settings = config.client_settings(file)
    endpoint = session.endpoint or os.environ.get("LMAPS_ENDPOINT") or settings.endpoint
    timeout = parse_duration(session.timeout) if session.timeout else settings.timeout or 30.0
    client_key = session.client_key or os.environ.get("LMAPS_CLIENT_KEY") or settings.client_key
    server_key = session.server_public_key or os.environ.get("LMAPS_SERVER_PUBLIC_KEY") or settings.server_public_key
    return Client(
        endpoint,
        timeout,
        session.words,
        client_key or config.CLIENT_KEY,
        server_key or config.SERVER_PUBLIC_KEY,
    )


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Put a global option where every command finds it, whether it stood before the command or after."""
    if value is not None and value is not False:
        setattr(ctx.ensure_object(Session), str(param.name), value)


def _global(*names: str, **attributes: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_keep, **attributes)


def global_options(*, hidden: bool) -> list[click.Option]:
    """The options that may stand before a command or after it."""
    return [
        _global("--config", metavar="FILE", hidden=hidden, help="Configuration; else LMAPS_CONFIG, else lmaps.yaml."),
        _global("--endpoint", "-e", metavar="URI", hidden=hidden, help="The daemon's socket; else LMAPS_ENDPOINT."),
        _global("--client-key", metavar="FILE", hidden=hidden, help="Secret key, over tcp; else LMAPS_CLIENT_KEY."),
        _global(
            "--server-public-key",
            metavar="FILE",
            hidden=hidden,
            help="The daemon's key, over tcp; else LMAPS_SERVER_PUBLIC_KEY.",
        ),
        _global("--format", "-o", type=click.Choice(FORMATS), hidden=hidden, help="Form of data on stdout."),
        _global("--color", type=click.Choice(("auto", "always", "never")), hidden=hidden, help="Colour of tables."),
        _global("--quiet", "-q", is_flag=True, default=None, hidden=hidden, help="Say only what has to be known."),
        _global(
            "--verbose",
            "-v",
            is_flag=True,
            default=None,
            hidden=hidden,
            help="Say what is asked, and how long it takes.",
        ),
        _global("--timeout", metavar="DURATION", hidden=hidden, help="How long to wait for an answer, such as 30s."),
    ]


class Command(click.Command):
    """A command that takes the global options too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += global_options(hidden=True)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples stand as they are written."""
        formatter.write_paragraph()
        for line in (self.epilog or "").splitlines():
            formatter.write(f"  {line}\n")
        formatter.write_paragraph()
        formatter.write("Global options: lmaps --help\n")


def command(name: str, *, examples: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function, whose first argument is the `Session`, a command of ``lmaps``."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        return click.command(name, cls=Command, epilog=f"Examples:\n{examples}")(click.pass_obj(function))

    return decorate


F = TypeVar("F", bound=Callable[..., Any])


def complete_units(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The units that begin so, within 300 ms; nothing if the daemon does not say."""
    session = ctx.ensure_object(Session)
    session.timeout, session.quiet = "0.3s", True
    try:
        rows = session.call("units").extra["units"]
    except LmapsError:
        return []
    return [row["unit"] for row in rows if row["unit"].startswith(incomplete)]


def unit_argument(function: F) -> F:
    """UNIT as an argument, or as ``--unit``/``-u``."""
    function = click.option("--unit", "-u", "unit_option", metavar="UNIT", hidden=True)(function)
    return click.argument("unit", required=False, shell_complete=complete_units)(function)


def any_unit(unit: str | None, unit_option: str | None) -> str | None:
    """The unit that was named, in one way or the other, if any was."""
    if unit and unit_option and unit != unit_option:
        raise UsageError(f"cannot tell which unit is meant, {unit} or {unit_option}: name one")
    return unit_option or unit


def the_unit(unit: str | None, unit_option: str | None) -> str:
    """The unit that was named, in one way or the other."""
    named = any_unit(unit, unit_option)
    if named is None:
        raise UsageError("cannot tell which unit is meant: name it", hint="lmaps units lists them")
    return named


def unit_and_ids(unit: str | None, unit_option: str | None, ids: tuple[str, ...]) -> tuple[str, list[str]]:
    """The unit, and the IDs: with ``--unit`` the first argument is an ID already."""
    name = the_unit(None if unit_option else unit, unit_option)
    return name, [*([unit] if unit_option and unit else []), *ids]


def write_options(function: F) -> F:
    """Who asks, for what reason, and under which condition; the command gets them as one `Write`, ``write``."""

    @functools.wraps(function)
    def gathered(*args: Any, **kwargs: Any) -> Any:
        told = {name: kwargs.pop(name) for name in ("message", "ticket", "on_behalf_of", "if_rev", "dry_run")}
        told["on_behalf_of"] = told["on_behalf_of"] or _original_user()
        write = Write(
            {name: value for name, value in told.items() if value}, kwargs.pop("key"), kwargs.pop("changed_rc")
        )
        return function(*args, write=write, **kwargs)

    wrapped: Any = gathered
    for option in (
        click.option("--changed-rc", metavar="N", type=click.IntRange(0, 255), help="Exit code if something changed."),
        click.option("--dry-run", is_flag=True, help="Show what would change (exit code 1), and keep nothing."),
        click.option("--if-rev", metavar="REV", help="Only if this is the unit's newest revision."),
        click.option("--key", metavar="KEY", help="Makes it safe to send the request again."),
        click.option("--on-behalf-of", metavar="NAME", help="For whom it is done; under sudo who called it."),
        click.option("--ticket", metavar="ID", help="The ticket that asks for it."),
        click.option("--message", "-m", metavar="TEXT", help="Why it is done."),
    ):
        wrapped = option(wrapped)
    made: F = wrapped
    return made


def _original_user() -> str | None:
    """Who called sudo; the socket proves root alone."""
    return os.environ.get("SUDO_USER") if os.geteuid() == 0 else None


class Write(NamedTuple):
    """What is said with a change: ``args`` for the daemon, the request's key, the exit code if something changed."""

    args: dict[str, Any]
    key: str | None = None
    changed_rc: int | None = None

    def send(self, session: Session, verb: str, **args: Any) -> "Reply":
        """Ask for the change."""
        return session.call(verb, request_key=self.key, **args, **self.args)

    def end(self, *, changed: bool) -> None:
        """End the command with ``--changed-rc``, if something changed."""
        if changed and self.changed_rc is not None:
            raise click.exceptions.Exit(self.changed_rc)
