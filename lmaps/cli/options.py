"""Options and arguments that commands share, and the decorators that turn them into parameters of a command."""

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from lmaps.cli.session import STRUCTURED_FORMATS, Session
from lmaps.errors import LmapsError, UsageError
from lmaps.util.terminal import visible

if TYPE_CHECKING:
    from lmaps.protocol import Reply

FORMATS = ("table", *STRUCTURED_FORMATS, "name")
COMPLETION_TIMEOUT = "0.3s"

F = TypeVar("F", bound=Callable[..., Any])


def _store_in_session(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Set a global option on the session, so that an option after the command overrides the same option before it."""
    # An option that was not given after the command must not reset one that was given before it.
    if value is not None and value is not False:
        setattr(ctx.ensure_object(Session), str(param.name), value)


@functools.cache
def global_options(*, hidden: bool) -> list[click.Option]:
    """Return the options that may stand before or after a command; if ``hidden``, help does not list them.

    The result is cached: a module has about ten commands, and click takes 0.1 ms to create the nine options of each.
    """

    def option(*names: str, **attributes: Any) -> click.Option:
        return click.Option(names, expose_value=False, callback=_store_in_session, hidden=hidden, **attributes)

    return [
        option("--config", metavar="FILE", help="Configuration; else LMAPS_CONFIG, else lmaps.yaml."),
        option("--endpoint", "-e", metavar="URI", help="The daemon's socket; else LMAPS_ENDPOINT."),
        option("--client-key", metavar="FILE", help="Secret key for tcp; else LMAPS_CLIENT_KEY."),
        option("--server-public-key", metavar="FILE", help="The daemon's key for tcp; else LMAPS_SERVER_PUBLIC_KEY."),
        option("--format", "-o", type=click.Choice(FORMATS), help="Format of data on stdout."),
        option("--color", type=click.Choice(("auto", "always", "never")), help="Colour of tables."),
        option("--quiet", "-q", is_flag=True, default=None, help="Print only errors and data."),
        option("--verbose", "-v", is_flag=True, default=None, help="Print each request and how long it took."),
        option("--timeout", metavar="DURATION", help="How long to wait for an answer, such as 30s."),
    ]


class Command(click.Command):
    """A command that takes the global options too."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own parameters and, hidden in its help, the global options."""
        return [*super().get_params(ctx), *global_options(hidden=True)]

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples line by line: click would join the lines to a paragraph."""
        formatter.write_paragraph()
        for line in (self.epilog or "").splitlines():
            formatter.write(f"  {line}\n")
        formatter.write_paragraph()
        formatter.write("Global options: lmaps --help\n")


def command(name: str, *, examples: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function the command ``name``; it gets the `Session` as its first argument."""

    def decorate(function: Callable[..., object]) -> click.Command:
        return click.command(name, cls=Command, epilog=f"Examples:\n{examples}")(click.pass_obj(function))

    return decorate


def complete_units(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the units whose names begin with ``incomplete``; none if the daemon does not answer in time."""
    session = ctx.ensure_object(Session)
    # The user has pressed Tab and waits; a message would be printed into the line being typed.
    session.timeout, session.quiet = COMPLETION_TIMEOUT, True
    try:
        names = [row["unit"] for row in session.call("units").extra["units"]]
    except LmapsError:
        return []
    # The shell puts a proposal into the line as it is.
    return [name for name in names if name.startswith(incomplete) and name == visible(name)]


def chosen_unit(unit: str | None, unit_option: str | None) -> str | None:
    """Return the unit named by the argument or by ``--unit``. Raises `UsageError` if they name different ones."""
    if unit and unit_option and unit != unit_option:
        raise UsageError(f"two units are named, {unit} and {unit_option}: name one")
    return unit_option or unit


def required_unit(unit: str | None, unit_option: str | None) -> str:
    """Return the unit named by the argument or by ``--unit``. Raises `UsageError` if none is named."""
    name = chosen_unit(unit, unit_option)
    if name is None:
        raise UsageError("no unit is named", hint="lmaps units lists them")
    return name


def _with_unit(function: F, choose: Callable[..., object]) -> F:
    """Add UNIT and ``--unit``; ``choose(unit, unit_option, kwargs)`` returns the unit that the command gets."""

    @functools.wraps(function)
    def with_unit(*args: object, unit: str | None, unit_option: str | None, **kwargs: object) -> Any:
        return function(*args, unit=choose(unit, unit_option, kwargs), **kwargs)

    option = click.option("--unit", "-u", "unit_option", metavar="UNIT", hidden=True)
    argument = click.argument("unit", required=False, shell_complete=complete_units)
    decorated: F = argument(option(with_unit))  # type: ignore[assignment]
    return decorated


def unit_argument(function: F) -> F:
    """Add UNIT, also as ``--unit``/``-u``; the command gets its name as ``unit``."""
    return _with_unit(function, lambda unit, unit_option, _: required_unit(unit, unit_option))


def optional_unit_argument(function: F) -> F:
    """Add UNIT as `unit_argument` does; ``unit`` is None if none is named."""
    return _with_unit(function, lambda unit, unit_option, _: chosen_unit(unit, unit_option))


def unit_argument_before(rest: str) -> Callable[[F], F]:
    """Add UNIT before the arguments ``rest``, a tuple.

    If ``--unit`` names the unit, the first argument, which click has read as UNIT, becomes the first of ``rest``.
    """

    def choose(unit: str | None, unit_option: str | None, kwargs: dict[str, Any]) -> str:
        if unit and unit_option:
            kwargs[rest] = (unit, *kwargs[rest])
            unit = None
        return required_unit(unit, unit_option)

    return lambda function: _with_unit(function, choose)


def padded(arguments: tuple[str, ...], count: int) -> list[str | None]:
    """Return ``count`` arguments, None for those that are missing. Raises `UsageError` if there are more."""
    if len(arguments) > count:
        raise UsageError(f"got unexpected extra argument ({arguments[count]})")
    return [*arguments, *[None] * (count - len(arguments))]


files_option = click.option(
    "--file", "-f", "files", metavar="FILE", multiple=True, help="Documents: a file, a directory, or - for stdin."
)
set_option = click.option(
    "--set",
    "pairs",
    metavar="K=V",
    multiple=True,
    help="A property; a.b=V for a nested one. For a secret K=@FILE or K=@- (stdin), without the line break at its "
    "end, or K alone, which asks on the terminal. K=@@V is a value that begins with @.",
)
limit_option = click.option(
    "--limit", metavar="N", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most this many."
)


class Write(NamedTuple):
    """The options of a change.

    ``args`` are sent to the daemon, ``key`` is the request key, ``changed_rc`` the exit code if something has changed.
    """

    args: dict[str, Any]
    key: str | None = None
    changed_rc: int | None = None

    def send(self, session: Session, verb: str, **args: object) -> "Reply":
        """Send the request for the change and return its reply; print its warnings, also those of a refusal."""
        try:
            reply = session.call(verb, request_key=self.key, **args, **self.args)
        except LmapsError as refused:
            _print_warnings(session, refused.extra)
            raise
        _print_warnings(session, reply.extra)
        return reply

    def finish(self, *, changed: bool) -> None:
        """Exit with the code given by ``--changed-rc`` if something has changed; do nothing without that option."""
        if changed and self.changed_rc is not None:
            raise click.exceptions.Exit(self.changed_rc)


def _print_warnings(session: Session, extra: dict[str, Any]) -> None:
    for warning in extra.get("warnings", ()):
        session.print_message(f"warning: {warning['message']}")


WRITE_ARGS = ("message", "ticket", "on_behalf_of", "if_rev", "dry_run")


def write_options(function: F) -> F:
    """Add the options that every change takes; the command gets them as a `Write` named ``write``."""

    @functools.wraps(function)
    def with_write(*args: object, **kwargs: Any) -> object:
        values = {name: kwargs.pop(name) for name in WRITE_ARGS}
        values["on_behalf_of"] = values["on_behalf_of"] or _sudo_user()
        write = Write(
            {name: value for name, value in values.items() if value}, kwargs.pop("key"), kwargs.pop("changed_rc")
        )
        return function(*args, write=write, **kwargs)

    decorated: F = _add_options(
        with_write,
        click.option("--message", "-m", metavar="TEXT", help="Reason for the change."),
        click.option("--ticket", metavar="ID", help="Ticket that asks for the change."),
        click.option("--on-behalf-of", metavar="NAME", help="User for whom the change is made; under sudo the caller."),
        click.option("--key", metavar="KEY", help="Request key: sent again under it, the change is made once."),
        click.option("--if-rev", metavar="REV", help="Only if this is the unit's newest revision."),
        click.option("--dry-run", is_flag=True, help="Show what would change (exit code 1) and store nothing."),
        click.option("--changed-rc", metavar="N", type=click.IntRange(0, 255), help="Exit code if something changed."),
    )
    return decorated


def _sudo_user() -> str | None:
    """Return the user who called sudo, None without sudo: the socket proves only that the peer is root."""
    return os.environ.get("SUDO_USER") if os.geteuid() == 0 else None


class Run(NamedTuple):
    """The options of a job: ``wait`` is whether to watch it to its end, ``args`` are arguments for the daemon."""

    wait: bool
    args: dict[str, Any]


def run_options(function: F) -> F:
    """Add the options of a job; the command gets them as a `Run` named ``run``."""

    @functools.wraps(function)
    def with_run(*args: object, **kwargs: Any) -> Any:
        values = {"timeout": kwargs.pop("job_timeout"), "confirm": kwargs.pop("confirm")}
        run = Run(kwargs.pop("wait"), {name: value for name, value in values.items() if value})
        return function(*args, run=run, **kwargs)

    decorated: F = _add_options(
        with_run,
        click.option("--wait/--no-wait", default=True, help="Watch the job to its end, or print its number alone."),
        click.option("--job-timeout", metavar="D", help="End the job if it runs longer, such as 10m."),
        click.option(
            "--confirm", metavar="D", help="Undo it unless a person or the unit's probe confirms it within D."
        ),
    )
    return decorated


def apply_options(function: F) -> F:
    """Add ``--apply`` and the options of its job; the command gets a `Run` named ``run``, None without ``--apply``."""

    @functools.wraps(function)
    def with_optional_run(*args: object, applying: bool, run: Run, **kwargs: object) -> object:
        # Ignored, --confirm would leave the user believing that the change undoes itself.
        if not applying and (run.args or not run.wait):
            raise UsageError("--job-timeout, --confirm and --no-wait are options of a job: add --apply")
        return function(*args, run=run if applying else None, **kwargs)

    option = click.option("--apply", "applying", is_flag=True, help="Afterwards start a job that applies the unit.")
    decorated: F = run_options(_add_options(with_optional_run, option))
    return decorated


def apply_args(run: Run | None) -> dict[str, Any]:
    """Return the arguments that ask the daemon for a job after the change."""
    return {} if run is None else {"apply": run.args}


def _add_options(function: Callable[..., object], *options: Callable[[Any], object]) -> Any:
    """Return ``function`` with ``options`` in the order in which help lists them."""
    for option in reversed(options):
        function = option(function)
    return function
