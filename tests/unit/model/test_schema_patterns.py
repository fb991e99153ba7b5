"""Patterns that can take exponential time are found, and no others."""

import re
import warnings

import pytest

from lmaps.model.schema import lint
from lmaps.model.schema.patterns import is_slow

SLOW = [
    "^(a+)+$", "((a+))*", "(?:x*)*y", "(a*b*)*", "(a+b?)+", "(a|b+)*", "([a-z]{1,63})+", "((a+)+)?", r"(\x41+)+",
    r"(\101+)*", "([]+*]+)+", "([^]+*]+)+", r"([\]+]+)*", r"(\(+)+", r"(\)+)*", "(a{,})+", "(a{10})+", "(a{010})*",
    "(?x)( a + ) +", "(?i)(a+)+", "(?i:a+)+", "((?i:a+))+", "(?P<n>a+)+", "(?:a+?)+?", "(a+|a+)*", "(a+b*|a+c*)*",
    "(a*|b)+", "(a+)*b", "(a+){10}", "(a+){,10}", "((ab)+)+", "((a+)b*)*", "((a+|b)c*)*", "((?:a+b+)c*)*",
    "((|x)c*)*", "(((a+)))*", "(a+){2}(b+)*", "(x*y*z*)*", "(.*)*", "(.+)+", r"(\w+\s?)*", r"^((\d+)|(\d+\.\d+))+$",
    r"^([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*$", "(a(b(c(d+)+)))", "(?s:.+)+", "(?-i:a+)+", "(?x: a + )+",
    r"(\N{DIGIT ONE}+)+", r"(\00+)+", r"(\012+)+",
]  # fmt: skip
QUICK = [
    r"([a-z]+\.)+", "^[a-z][a-z0-9-]{0,30}$", "^[a-z]+(-[a-z]+)*$", "(a+){2,4}", "(ab|cd)*", r"\x41+", r"(\u0041+b)+",
    "[]+*]+", "(a{,5})+", "(a{9})+", "(a{1,9})*", "(a{)+", "(a{})+", "(a{x})+", "(?x)(a+ # comment (b+)+\n b)+",
    "(?P<n>a+b)+", "(?P<n>a)(?P=n)+", "((?P<n>a)(?P=n)+)+", "(a)(?(1)b+|c)", "(?=a+)+", "(?!a+)b", "(?<=a)b+",
    "(?<!a)b+", "(a+?b)+?", "(a++)+", "(a+)++", "(?>a+)+", "(?>a+b)+", "(a|b|c)*", "(a|ab)*", "(ab+|ac+)*", "(^a+)+",
    "(a+$)+", "(a+){,9}", "(a?)+", "(a?b?)*", "(a?){20}", "(((a)))*", "((((a+))))?", "x*y*z*", "(x*y*z*)", "(.*,)*",
    r"(\w+\s)*", r"^(\d+|\d+\.\d+)$", r"(\d{1,3}\.){3}\d{1,3}", "(a|a?)+", "(a|aa)+", "", "a", "()", "()*", "(|)*",
    "[a-z&&[aeiou]]+", r"\N{DIGIT ONE}+",
]  # fmt: skip


def compiles(pattern: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # "[[" may once mean a set in a set
        return re.compile(pattern) is not None


@pytest.mark.parametrize("pattern", SLOW)
def test_a_repeat_that_holds_nothing_but_repeats_is_slow(pattern: str) -> None:
    assert compiles(pattern)
    assert is_slow(pattern)


@pytest.mark.parametrize("pattern", QUICK)
def test_a_repeat_with_anything_between_is_quick(pattern: str) -> None:
    assert compiles(pattern)
    assert not is_slow(pattern)


def test_a_pattern_of_any_depth_is_scanned() -> None:
    assert is_slow("(" * 5000 + "a+" + ")" * 5000 + "+")
    assert not is_slow("(" * 5000 + "a" + ")" * 5000 + "+")


@pytest.mark.parametrize("pattern", ["a{99999999999}", "a{" + "9" * 5000 + "}", "(" * 3000 + ")" * 3000, "(", "a**"])
def test_a_pattern_that_does_not_compile_is_refused(pattern: str) -> None:
    [finding] = lint({"properties": {"x": {"pattern": pattern}}})
    assert finding.path == "$.properties.x.pattern"
