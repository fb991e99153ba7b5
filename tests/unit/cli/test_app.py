"""The shell itself: where its options stand, where its words go, and what it does when they cannot get there."""

import errno
import io
import os
import signal
import sys

import pytest

from lmaps.cli import app
from lmaps.cli.options import complete_units
from lmaps.cli.session import Session
from lmaps.errors import Finding, NotFound, NotReached, ValidationFailed
from lmaps.protocol import Reply
from tests.unit.cli.test_commands import StandIn


class Refusing(io.StringIO):
    """A stream that takes nothing."""

    def __init__(self, number):
        super().__init__()
        self.error = OSError(number, os.strerror(number))

    def write(self, text):
        raise self.error


@pytest.fixture
def session():
    return Session(client=StandIn(), stdout=io.StringIO(), stderr=io.StringIO())


def run(session, line):
    """The exit code of ``lmaps LINE``."""
    with pytest.raises(SystemExit) as ended:
        app.start(line.split(), session)
    return ended.value.code


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        ("--config f", "config", "f"),
        ("--endpoint ipc:///s", "endpoint", "ipc:///s"),
        ("-e ipc:///s", "endpoint", "ipc:///s"),
        ("--format json", "format", "json"),
        ("-o json", "format", "json"),
        ("--color never", "color", "never"),
        ("--quiet", "quiet", True),
        ("-q", "quiet", True),
        ("--timeout 5s", "timeout", "5s"),
        ("--client-key f", "client_key", "f"),
        ("--server-public-key f", "server_public_key", "f"),
    ],
)
@pytest.mark.parametrize("line", ["{} units", "units {}"])
def test_global_options_stand_before_or_after_the_command(session, options, name, value, line):
    assert run(session, line.format(options)) == 0
    assert getattr(session, name) == value


@pytest.mark.parametrize("line", ["show web a --reverse", "show --reverse web a", "--format yaml show web --reverse a"])
def test_options_stand_before_or_after_arguments(session, line):
    assert run(session, line) == 0
    assert session.client.asked == [("show", {"unit": "web", "ids": ["a"], "reverse": True})]


@pytest.mark.parametrize(("terminal", "wanted"), [(True, "table"), (False, "yaml")])
def test_the_format_depends_on_who_reads(session, terminal, wanted):
    session.stdout.isatty = lambda: terminal
    assert session.output_format == wanted


@pytest.mark.parametrize(
    ("color", "terminal", "no_color", "wanted"),
    [
        ("auto", True, "", True), ("auto", True, "1", False), ("auto", False, "", False),
        ("always", False, "1", True), ("never", True, "", False),
    ],
)  # fmt: skip
def test_colour(session, monkeypatch, color, terminal, no_color, wanted):
    monkeypatch.setenv("NO_COLOR", no_color)
    session.color, session.stdout.isatty = color, lambda: terminal
    assert session.in_color is wanted
    assert run(session, "units -o table") == 0
    assert ("\x1b[" in session.stdout.getvalue()) is wanted


@pytest.mark.parametrize(
    ("option", "variable", "wanted"),
    [
        (None, None, "ipc:///configured"),
        (None, "ipc:///variable", "ipc:///variable"),
        ("ipc:///option", "ipc:///variable", "ipc:///option"),
    ],
)
def test_the_endpoint_is_the_one_named_nearest(tmp_path, monkeypatch, option, variable, wanted):
    (tmp_path / "lmaps.yaml").write_text("rpc: {manager_bind: ipc:///configured, timeout: 5m}\n")
    monkeypatch.setenv("LMAPS_CONFIG", str(tmp_path / "lmaps.yaml"))
    if variable:
        monkeypatch.setenv("LMAPS_ENDPOINT", variable)
    with Session(endpoint=option).connect() as client:
        assert (client.endpoint, client.timeout) == (wanted, 300.0)


def test_a_reader_that_has_gone_away_ends_the_command(session):
    session.stdout = Refusing(errno.EPIPE)
    assert run(session, "units") == 0
    assert session.stderr.getvalue() == ""


def test_a_full_disk_under_stdout_is_told(session):
    session.stdout = Refusing(errno.ENOSPC)
    assert run(session, "export") == 1
    assert session.stderr.getvalue() == "cannot write to stdout: No space left on device\n"


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_an_error_that_cannot_be_told_keeps_its_exit_code(session, name, number):
    session.client.answers["units"] = Reply.refusal(NotFound("cannot find it"))
    setattr(session, name, Refusing(number))
    assert run(session, "units -o json") == 4


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_closed_stream_takes_what_is_written_nowhere(monkeypatch, name):
    monkeypatch.setattr(sys, name, None)
    session = Session(client=StandIn())
    assert run(session, "status") == 0
    stream = getattr(session, name)
    assert stream.name == os.devnull
    stream.close()


def test_data_are_utf_8_whatever_the_locale_says(session, monkeypatch):
    written = io.BytesIO()
    with io.TextIOWrapper(written, encoding="ascii") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        session.stdout = Session().stdout
        session.client.answers["discover"] = Reply("", extra={"é": "😀"})
        assert run(session, "discover -o json") == 0
        assert written.getvalue().decode() == '{"é": "😀"}\n'


def test_findings_are_aligned_with_and_without_a_place(session):
    findings = [Finding("one", ("a",)), Finding("two", ("bcd",), file="f", line=10, column=2), Finding("three")]
    session.client.answers["reload"] = Reply.refusal(ValidationFailed("cannot reload: 3 errors", errors=findings))
    assert run(session, "reload") == 3
    assert session.stderr.getvalue() == (
        "cannot reload: 3 errors\n  -       $.a    one\n  f:10:2  $.bcd  two\n  -       $      three\n"
    )


def test_of_many_findings_the_first_are_shown(session):
    findings = [Finding(f"wrong {number}") for number in range(60)]
    session.client.answers["reload"] = Reply.refusal(ValidationFailed("cannot reload: 60 errors", errors=findings))
    run(session, "reload")
    lines = session.stderr.getvalue().splitlines()
    assert len(lines) == 52
    assert lines[-1] == "  and 10 more; -o json lists all"


@pytest.mark.parametrize("terminal", [True, False])
def test_control_bytes_in_words_are_written_out_on_a_terminal_and_in_a_pipe(session, terminal):
    session.stderr.isatty = lambda: terminal
    session.client.answers["reload"] = Reply("done \x1b[2J\u202e", extra={"units": []})
    run(session, "reload")
    assert session.stderr.getvalue() == "done \\x1b[2J\\u202e\n"


def test_a_group_without_its_command_is_one_sentence(session):
    assert run(session, "unit") == 2
    assert session.stderr.getvalue() == "missing command\n  try: lmaps unit --help\n"


@pytest.mark.parametrize("incomplete", ["", "w", "x"])
def test_units_are_completed(session, incomplete):
    with app.get_parser().make_context("lmaps", ["units"], obj=session) as ctx:
        assert complete_units(ctx, None, incomplete) == [name for name in ["web"] if name.startswith(incomplete)]


def test_names_that_would_command_the_shell_are_not_proposed(session):
    names = ["web", "w\nrm", "w\x1b[2J", "w\u202e"]
    session.client.answers["units"] = Reply("", extra={"units": [{"unit": name} for name in names]})
    with app.get_parser().make_context("lmaps", ["units"], obj=session) as ctx:
        assert complete_units(ctx, None, "w") == ["web"]


def test_completion_says_nothing_when_the_daemon_does_not(session):
    session.client.answers["units"] = Reply.refusal(NotReached())
    with app.get_parser().make_context("lmaps", ["units"], obj=session) as ctx:
        assert complete_units(ctx, None, "") == []
    assert session.timeout == "0.3s"
    assert session.stderr.getvalue() == ""


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_scripts(session, name):
    assert run(session, f"completion {name}") == 0
    assert "_LMAPS_COMPLETE" in session.stdout.getvalue()


@pytest.mark.parametrize(
    "line",
    ["--unit web rollback", "-u web rollback web", "--rollback --unit web units", "-f x create web", "--create units"],
)
def test_the_originals_flags_and_a_command_are_too_much(session, line):
    assert run(session, line) == 2
    assert "do not go together" in session.stderr.getvalue()
    assert session.client.asked == []


@pytest.mark.parametrize("flags", ["--list-units", "-l"])
def test_the_originals_flags_hint_at_todays_commands_on_a_terminal(session, flags):
    session.stderr.isatty = lambda: True
    assert run(session, flags) == 0
    assert session.stderr.getvalue() == "these flags go on working; today's commands: lmaps --help\n"


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("--create --file {} --unit web", ("create", {"unit": "web", "instances": [{"host": "a"}]})),
        ("-c -f {} -u web", ("create", {"unit": "web", "instances": [{"host": "a"}]})),
        ("-cu web -f {}", ("create", {"unit": "web", "instances": [{"host": "a"}]})),
        ("--apply --unit web", ("apply", {"unit": "web", "instances": []})),
        ("-a -u web --file {}", ("apply", {"unit": "web", "instances": [{"host": "a"}]})),
        ("-c -a -u web -f {}", ("apply", {"unit": "web", "instances": [{"host": "a"}]})),
        ("-r -u web", ("rollback", {"unit": "web", "states": True})),
        ("--list-units --format dict", ("units", {})),
        ("-s -u web --format pretty", ("show", {"unit": "web"})),
        ("--discover ipc:///x", ("discover", {})),
        ("--config f --discover ipc:///x", ("discover", {})),
    ],
)
def test_every_spelling_of_the_original(session, tmp_path, line, asked):
    file = tmp_path / "a.yaml"
    file.write_text("host: a\n")
    assert run(session, line.format(file)) == 0
    assert session.client.asked[0] == asked
    assert session.stdout.getvalue()


@pytest.mark.parametrize("line", ["--create --unit web", "--create --apply --unit web"])
def test_the_originals_create_needs_a_file(session, line):
    assert run(session, line) == 2
    assert "name it with --file" in session.stderr.getvalue()
    assert session.client.asked == []


def test_the_originals_rollback_says_when_there_is_nothing(session):
    session.client.answers["rollback"] = Reply("nothing to roll back in web", extra={"nothing": True})
    assert run(session, "--rollback --unit web --format json") == 0
    assert session.stderr.getvalue() == "nothing to roll back in web\n"
    assert session.stdout.getvalue() == '{"removing": null, "before": null, "after": null}\n'


def test_the_originals_flags_are_not_in_the_help():
    with app.get_parser().make_context("lmaps", ["units"]) as ctx:
        text = ctx.get_help()
    assert not [flag for flag in ("--create", "--rollback", "--list-units", "--unit", "--file") if flag in text]


def test_ctrl_c_while_the_connection_is_closed_is_no_traceback():
    class Interrupted:
        def close(self):
            signal.raise_signal(signal.SIGINT)

    session = Session(client=Interrupted())
    with pytest.raises(SystemExit) as ended:
        app.start(["--help"], session)
    assert ended.value.code == 0
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
