import re

import pytest

from lmaps import errors
from lmaps.errors import Finding, LmapsError, error_class, error_tree


def test_the_drawn_tree_is_the_real_one():
    drawn = re.findall(r"([A-Z]\w+) +([a-z-]+) +(\d+)(?: +\(lmapsd: (\d+)\))?", errors.__doc__ or "")
    real = [(each.__name__, each.code, str(each.level)) for each in error_tree() if each is not LmapsError]
    assert sorted((name, code, level) for name, code, level, _ in drawn) == sorted(real)
    for name, _, _, daemon_level in drawn:
        assert getattr(errors, name).daemon_level == int(daemon_level or getattr(errors, name).daemon_level)


@pytest.mark.parametrize("kind", list(error_tree()))
def test_every_error_has_words_and_a_code_of_its_own(kind):
    assert (kind.__doc__ or "").startswith("cannot ")
    assert kind().message == kind.__doc__
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code)
    assert error_class(kind.code) is kind


def test_a_code_of_a_newer_lmaps_is_the_root():
    assert error_class("from-the-future") is LmapsError


@pytest.mark.parametrize(("at", "path"), [((), "$"), (("a", 0, "b"), "$.a[0].b"), (("with space",), "$['with space']")])
def test_a_finding_tells_its_path(at, path):
    assert Finding("wrong", at).path == path


def test_a_finding_survives_the_wire():
    finding = Finding("wrong", ("a", 0), on_key=True, got=0, document=0, file="f", line=3, column=1, property="a")
    assert Finding.from_json(finding.to_json()) == finding
    assert finding.place == "f:3:1"
    assert Finding("wrong").to_json() == {"path": "$", "message": "wrong", "at": []}
