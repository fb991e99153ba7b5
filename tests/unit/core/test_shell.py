import click
import pytest

from lmaps.core.shell import get_parser, print_response, start


def test_the_parser_takes_the_flags_of_the_original() -> None:
    parser = get_parser()
    assert isinstance(parser, click.Group)
    options = {option for parameter in parser.params for option in parameter.opts}
    assert options >= {"--create", "--apply", "--rollback", "--list-units", "--show-summary", "--discover", "--daemon"}


@pytest.mark.parametrize(
    ("form", "text"),
    [("dict", "{'a': 1}\n"), ("json", '{"a": 1}\n'), ("pretty", '{\n  "a": 1\n}\n'), ("yaml", "a: 1\n")],
)
def test_a_response_is_printed(form: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_response({"a": 1}, form)
    assert capsys.readouterr().out == text


def test_the_default_form_is_the_dict(capsys: pytest.CaptureFixture[str]) -> None:
    print_response({"a": 1})
    assert capsys.readouterr().out == "{'a': 1}\n"


def test_the_command_line_starts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        start(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("lmaps ")
