from dataclasses import replace

import pytest

from lmaps.config import limits
from lmaps.config.load import load_config
from lmaps.config.settings import Limits
from lmaps.errors import ConfigError, MessageRefused, TooLarge


def limited(**keys):
    message = {"bytes": 1000, "values": 20, "documents": 3, "validation": 2.0}
    sections = {"message": message, "import": message | {"bytes": 5000, "values": 200}}
    return Limits.from_dict({"depth": 4, "string": 50} | sections | keys)


@pytest.mark.parametrize(
    ("body", "section", "key"),
    [
        (b'{"a":"' + b"x" * 1000 + b'"}', "message", "limits.message.bytes"),
        (b"[" + b"0," * 20 + b"0]", "message", "limits.message.values"),
        (b"[" + b"0," * 200 + b"0]", "import", "limits.import.values"),
        (b"[[[[[]]]]]", "message", "limits.depth"),
        (b"[" * 450 + b"]" * 450, "message", "limits.depth"),
        (b'"' + b"x" * 51 + b'"', "message", "limits.string"),
        (b'{"' + b"x" * 51 + b'":1}', "import", "limits.string"),
    ],
)
def test_what_is_too_large_names_the_limit(body, section, key):
    with pytest.raises(TooLarge) as refused:
        limits.read(body, limited(), section)
    assert refused.value.message.endswith(f"({key})")
    assert refused.value.extra["limit"] == key


def test_what_is_no_object_is_refused():
    with pytest.raises(MessageRefused, match="expected a JSON object"):
        limits.read(b"[]", limited(), "message")


@pytest.mark.parametrize("body", [b"0", b"[]", b"[0,0,0]", b"[[],[]]", b'{"":0}', b"[" + b"0," * 18 + b"0]"])
def test_a_body_that_fits_is_within_the_limits(body):
    sizes = replace(limited().message, values=len(body) // 2 + len(body) % 2)
    assert limits.fits(body, sizes)
    with pytest.raises(MessageRefused, match="expected a JSON object" if body[:1] != b"{" else "none"):
        limits.read(body, limited(message=sizes.to_dict()), "message")
        raise MessageRefused("none")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("limits: {conections: 1}", "did you mean connections?"),
        ("limits: {jobs: 0}", "0 is less than 1"),
        ("limits: {message: {bytes: 33554432}}", "33554432 is more than 16777216"),
        ("limits: {import: {validation: soon}}", "soon"),
        ("limits: {import: {validation: 9s}}", "taken for a daemon that hangs"),
    ],
)
def test_a_bad_limit_is_refused_with_its_place(tmp_path, text, words):
    file = tmp_path / "lmaps.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_config(str(file))
    [finding] = refused.value.errors
    assert words in finding.message
    assert finding.line == 1


def test_durations_are_seconds(tmp_path):
    file = tmp_path / "lmaps.yaml"
    file.write_text("limits: {message: {validation: 0.5s}, import: {validation: 3}}")
    loaded = load_config(str(file)).limits
    assert (loaded.message.validation, loaded.import_.validation) == (0.5, 3.0)
