"""``--set``: where the text of a property comes from, and how it is sent."""

import io
import os
import sys
from pathlib import Path

import pytest

from lmaps.cli import texts
from lmaps.cli.texts import parse_assignments, text_args
from lmaps.errors import LmapsError, UsageError
from lmaps.protocol import Reply
from tests.unit.cli.test_commands import StandIn
from tests.unit.cli.test_documents import run

WARNING = {"message": "password is a secret", "path": "$.password"}


def sent(*options: str) -> list[tuple[str, str, bool]]:
    rows = text_args(parse_assignments(options))["texts"]
    return [(row["path"], row["text"], row.get("private", False)) for row in rows]


def stdin_is(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the user answers, next last."""
    lines: list[str] = []
    monkeypatch.setattr(texts, "_has_terminal", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt: f"{prompt}{lines.pop()}")
    return lines


def test_a_prompt_commands_no_terminal(answers: list[str]) -> None:
    answers.append("x")
    assert [text for _, text, _ in sent("a\x1b[2J\u202e")] == [r"a\x1b[2J\u202e: x"]


def test_values_on_the_command_line_are_sent_as_they_are() -> None:
    assert sent("a=7", "d=", "n.b=no", "e=a=b", "at=@@x", "two=@@@x", "one=@@", "mail=me@x") == [
        ("/a", "7", False), ("/d", "", False), ("/n/b", "no", False), ("/e", "a=b", False), ("/at", "@x", False),
        ("/two", "@@x", False), ("/one", "@", False), ("/mail", "me@x", False),
    ]  # fmt: skip
    assert text_args(parse_assignments([])) == {}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"x\n", "x"),
        (b"x\r\n", "x"),
        (b"x", "x"),
        (b"x\n\n", "x\n"),
        (b"a\r\nb\r", "a\r\nb\r"),
        (b" x ", " x "),
        (b"", ""),
        (b"\n", ""),
        ("0123 äö =@".encode(), "0123 äö =@"),
    ],
)
def test_a_file_is_read_without_the_line_break_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, text: str
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(data)
    stdin_is(monkeypatch, data)
    assert sent("tls.key=@-", f"password=@{file}") == [("/tls/key", text, True), ("/password", text, True)]


@pytest.mark.parametrize(
    ("options", "files", "message"),
    [
        (["=x"], [], "cannot read --set =x: expected PROPERTY=VALUE"),
        ([""], [], "cannot read --set : expected PROPERTY=VALUE"),
        (["k=@"], [], "cannot read --set k=@: expected k=@FILE; a value of one @ is k=@@"),
        (["k=@-", "l=@-"], [], "--set k=@- and --set l=@- do not go together: stdin can be read once"),
        (["k=@-"], ["a.yaml", "-"], "--set k=@- and -f - do not go together: stdin can be read once"),
        (["k=@/nowhere"], [], "cannot read /nowhere: No such file or directory"),
        (["k=@/"], [], "cannot read /: Is a directory"),
    ],
)
def test_what_cannot_be_read_is_told(options: list[str], files: list[str], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        text_args(parse_assignments(options, files))
    assert refused.value.message == message


def test_a_file_that_is_no_text_is_told_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"canary\xff")
    with pytest.raises(UsageError, match=r"cannot read .*secret: it is not UTF-8 text \(byte 6\)$"):
        sent(f"k=@{tmp_path}/secret")


def test_a_property_alone_asks_and_after_all_files_are_read(answers: list[str]) -> None:
    answers += ["two", "one"]
    assert sent("b=1", "password", "tls.key") == [
        ("/b", "1", False), ("/password", "password: one", True), ("/tls/key", "tls.key: two", True),
    ]  # fmt: skip
    answers += ["one"]
    with pytest.raises(UsageError, match="No such file"):
        sent("password", "k=@/nowhere")
    assert answers == ["one"]


@pytest.mark.parametrize("answer", ["", EOFError()])
def test_no_answer_is_no_value(monkeypatch: pytest.MonkeyPatch, answers: list[str], answer: object) -> None:
    def getpass(_prompt: str) -> str:
        if isinstance(answer, str):
            return answer
        raise EOFError

    monkeypatch.setattr("getpass.getpass", getpass)
    with pytest.raises(UsageError, match="no value was given for password") as refused:
        sent("password")
    assert refused.value.hint == "--set password= sets an empty text"


def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_terminal(*_args: object) -> int:
        raise OSError

    monkeypatch.setattr(os, "open", no_terminal)
    for stdin in (None, io.StringIO("canary")):
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(UsageError, match="cannot ask for password: there is no terminal") as refused:
            sent("password")
        assert refused.value.hint == "--set password=@FILE reads it from a file, @- from stdin"


@pytest.mark.parametrize("form", ["table", "json", "yaml", "name"])
@pytest.mark.parametrize("quiet", [False, True])
def test_warnings_of_the_daemon_go_to_stderr(form: str, quiet: bool) -> None:
    class Warns(StandIn):
        def ask(self, request):
            reply = super().ask(request)
            return Reply(reply.message, extra=reply.extra | {"warnings": [WARNING]}, revision=4)

    options = ["--set", "password=x", "-o", form, *(["-q"] if quiet else [])]
    code, stderr = run("create", "web", *options, client=Warns())
    assert (code, "warning: password is a secret\n" in stderr) == (0, not quiet)


def test_a_refusal_has_its_warnings_too() -> None:
    class Refusing(StandIn):
        def ask(self, _request):
            return Reply.refusal(LmapsError("no", extra={"warnings": [WARNING]}))

    code, stderr = run("set", "web", "a", "--set", "password=x", client=Refusing())
    assert (code, stderr) == (1, "warning: password is a secret\nno\n")
