"""The policy: what a file may say, whom its lines fit, and which line decides."""

import contextlib
import grp
import os
import pwd
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmaps.config.policy import load_policy, parse_policy
from lmaps.errors import ConfigError, NotFound
from lmaps.model.policy import EVERY_UNIT, GROUP_RIGHTS, RIGHTS, Policy, Right, daemon_subject
from lmaps.util import yamlio

STRANGER = 4_000_000_001
"""A number that no user and no group has."""


def policy(text: str = "", owner: int = 1000) -> Policy:
    return Policy([*parse_policy(text, "policy.yaml"), *load_policy(None, owner)._lines[1:]])


def may(found: Policy, uid: int, right: Right, unit: str, gid: int | None = None) -> bool:
    return found.decide(found.subject(uid, gid), right, unit).allowed


def test_without_a_file_root_and_the_owner_may_all_and_nobody_else_anything():
    found = load_policy(None, 1000)
    for right in RIGHTS:
        for unit in ("web", EVERY_UNIT):
            assert may(found, 0, right, unit)
            assert may(found, 1000, right, unit)
            assert not may(found, STRANGER, right, unit)
            assert found.decide(daemon_subject("me"), right, unit).allowed
            assert not found.decide(found.subject(None), right, unit).allowed
            assert not found.decide(found.subject(None, key="f00"), right, unit).allowed


def test_the_group_of_the_daemon_has_its_rights(monkeypatch):
    group = grp.struct_group(("lmaps", "x", STRANGER, []))
    monkeypatch.setattr(grp, "getgrnam", {"lmaps": group}.__getitem__)
    found = load_policy(None, 0)
    assert [right for right in RIGHTS if may(found, STRANGER, right, "web", STRANGER)] == [
        right for right in RIGHTS if right in GROUP_RIGHTS
    ]
    assert not may(found, STRANGER, "list", "web", STRANGER + 1)


def test_the_first_line_that_fits_subject_and_unit_decides_for_every_right():
    found = policy(
        f"- {{subjects: 'uid:{STRANGER}', rights: none, units: web-secret}}\n"
        f"- {{subjects: ['gid:7', 'uid:{STRANGER}'], rights: [list, show], units: 'web-*'}}\n"
        f"- {{subjects: 'uid:{STRANGER}', rights: all, units: ['*']}}\n"
    )
    assert not may(found, STRANGER, "list", "web-secret")
    assert may(found, STRANGER, "show", "web-1")
    assert not may(found, STRANGER, "create", "web-1"), "a later line is not looked at"
    assert may(found, STRANGER, "create", "db")
    assert may(found, STRANGER + 1, "list", "web-secret", 7)
    assert not may(found, STRANGER + 1, "list", "db", 7)
    subject = found.subject(STRANGER)
    told = found.decide(subject, "create", "web-1")
    assert told.message == f"denied by policy.yaml:2: gid:7, uid:{STRANGER} may list, show on web-*"
    assert found.decide(subject, "apply", "db").message == f"allowed by policy.yaml:3: uid:{STRANGER} may all on *"
    assert found.decide(subject, "list", "web-secret").line.number == 0
    assert found.decide(found.subject(STRANGER + 1), "list", "db").message == "denied: no line matches"
    assert found.decide(found.subject(0), "admin", "db").message.startswith("allowed by the built-in line: uid:0")


def test_a_right_on_every_unit_is_granted_by_each_line_down_to_the_first_that_covers_all():
    lines = [
        f"- {{subjects: 'uid:{STRANGER}', rights: {rights}, units: '{units}'}}\n"
        for rights, units in (("[list, show]", "web-*"), ("[show, admin]", "*"), ("all", "*"))
    ]
    found = policy("".join(lines))
    granted = {right for right in RIGHTS if may(found, STRANGER, right, EVERY_UNIT)}
    assert granted == {"show"}
    somewhere = {right for right in RIGHTS if found.grants_somewhere(found.subject(STRANGER), right)}
    assert somewhere == {"list", "show", "admin"}
    assert {right for right in RIGHTS if may(policy(lines[0]), STRANGER, right, EVERY_UNIT)} == set()


def test_a_key_has_no_user_and_no_group():
    found = policy(
        "- {subjects: 'key:f00', rights: all, units: '*'}\n- {subjects: 'uid:0', rights: none, units: '*'}\n"
    )
    subject = found.subject(0, 0, "f00")
    assert (subject.id, set(subject.proofs)) == ("key:f00", {"key:f00"})
    assert found.decide(subject, "admin", EVERY_UNIT).allowed
    assert not found.decide(found.subject(None, key="f000"), "list", "web").allowed
    assert not may(found, 0, "list", "web"), "lines of the file stand before the built-in ones"


def test_groups_are_that_of_the_socket_and_those_of_the_login():
    me = pwd.getpwuid(os.getuid())
    proofs = policy().subject(me.pw_uid, STRANGER).proofs
    assert {f"gid:{number}" for number in os.getgrouplist(me.pw_name, STRANGER)} < proofs
    assert policy().subject(me.pw_uid).proofs == {
        f"uid:{me.pw_uid}",
        *(f"gid:{number}" for number in os.getgrouplist(me.pw_name, me.pw_gid)),
    }


def test_who_is_meant():
    found = policy()
    me = pwd.getpwuid(os.getuid())
    assert found.named(me.pw_name) == found.named(f"uid:{me.pw_uid}") == found.named(f"uid:{me.pw_name}")
    assert found.named("gid:7").proofs == {"gid:7"}
    assert found.named("key:f00") == found.subject(None, key="f00")
    for unknown in ("no such user", "uid:", "uid:no-such", "who:1", "gid:" + "9" * 20, "uid:a\0b", ""):
        with pytest.raises(NotFound):
            found.named(unknown)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: 1\n", "1:1", "not an array"),
        ("- 7\n", "1:3", "not an object"),
        ("- {rights: all, units: web}\n", "1:3", "subjects is missing"),
        ("- {subjects: 'uid:0', rights: all, units: a, unit: b}\n", "1:46", "did you mean units?"),
        ("- {subjects: 'uid:0', rights: [shw], units: web}\n", "1:32", "did you mean show?"),
        ("- {subjects: 'uid:0', rights: [], units: web}\n", "1:31", "at least 1"),
        (
            "- {subjects: 'uid:0', rights: [none, list], units: web}\n",
            "1:31",
            "none cannot be combined with other rights",
        ),
        ("- {subjects: root, rights: all, units: web}\n", "1:14", "does not match"),
        (
            "- {subjects: ['uid:0', 'uid:no-such-user'], rights: all, units: web}\n",
            "1:24",
            "has no user 'no-such-user'",
        ),
        ("- {subjects: 'gid:no-such', rights: all, units: web}\n", "1:14", "has no group 'no-such'"),
        ("- {subjects: 'uid:0', rights: all, units: web/x}\n", "1:43", "does not match"),
        ("- subjects: uid:0\n  rights: all\n  units: *\n", "3:11", ""),
    ],
)
def test_faults_have_their_place(text, place, words):
    with pytest.raises(ConfigError) as refused:
        parse_policy(text, "/p/policy.yaml")
    assert refused.value.daemon_level == 78
    assert refused.value.errors[0].place == f"/p/policy.yaml:{place}"
    assert words in refused.value.errors[0].message


def test_every_fault_is_told_at_once(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text("- {subjects: 'uid:x0', rights: all, units: a}\n" * 1000)
    with pytest.raises(ConfigError) as refused:
        load_policy(str(file), 0)
    assert [finding.line for finding in refused.value.errors] == list(range(1, 1001))
    with pytest.raises(ConfigError, match="No such file"):
        load_policy(str(tmp_path / "missing"), 0)
    with pytest.raises(ConfigError, match="2 documents"):
        parse_policy("[]\n---\n- 1\n", "p")
    assert parse_policy("", "p") == []


WORDS = st.sampled_from(
    [*RIGHTS, "all", "none", "uid:0", "gid:0", "key:f00", "uid:root", "*", "web-?", "", "uid:\0", "gid:é"]
)
VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | WORDS,
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    max_leaves=5,
)
LINES = st.lists(
    st.fixed_dictionaries(
        {}, optional={name: st.lists(WORDS) | WORDS | VALUES for name in ("subjects", "rights", "units", "more")}
    )
    | VALUES
)


@settings(max_examples=60)
@given(st.text() | st.binary() | LINES.map(yamlio.dump))
def test_whatever_stands_in_a_policy_is_read_or_refused(text):
    with contextlib.suppress(ConfigError):
        for line in parse_policy(text, "policy.yaml"):
            assert line.subjects
            assert line.units
            assert line.description


@pytest.mark.parametrize(
    "text", ["- {subjects: 'uid:x', rights: x, units: '/'}\n" * 300, "- " * 32000, "[" * 65000, "&a " * 20000]
)
def test_a_large_policy_is_refused_in_no_time(text):
    begin = time.process_time()
    with pytest.raises(ConfigError):
        parse_policy(text, "policy.yaml")
    assert time.process_time() - begin < 3


def test_no_glob_takes_long():
    line = f"- {{subjects: 'uid:{STRANGER}', rights: all, units: '{'*a' * 31}*b'}}\n"
    begin = time.process_time()
    assert not may(policy(line), STRANGER, "list", "a" * 64)
    assert time.process_time() - begin < 1
