"""Every handler that is shipped keeps the contract; each says the right thing to run."""

import ast
import importlib.metadata
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lmaps.errors import UnitUnusable
from lmaps.handlers import ansible, find_handlers, registry
from lmaps.handlers.ansible.handler import AnsiblePlaybook
from lmaps.handlers.ansible.variables import ClientText, _block, mark, variables_file
from lmaps.handlers.base import State
from lmaps.handlers.registry import _entry_points
from lmaps.model.units import parse_unit
from lmaps.model.units.variables import RESERVED, is_usable
from lmaps.testing import check_contract
from lmaps.util import yamlio

EXAMPLES = Path(__file__).parents[3] / "examples"
HANDLERS = find_handlers([str(EXAMPLES / "handlers")])


def unit(text, file="/units/web.yaml"):
    return parse_unit(yamlio.load(text, file=file)[0])


def state(unit, given):
    return State(unit, 1, given, [unit.complete(document) for document in given])


@pytest.mark.parametrize("name", list(HANDLERS.entries))
def test_the_contract(name):
    check_contract(HANDLERS.get(name))
    assert HANDLERS.get(name).type == name


def test_what_is_shipped():
    assert {"ansible_playbook", "command", "noop", "template"} <= HANDLERS.entries.keys()
    with pytest.raises(UnitUnusable, match="did you mean command?"):
        HANDLERS.get("comand")


def test_a_broken_plugin_spares_the_others(tmp_path):
    (tmp_path / "raises.py").write_text("raise ValueError('not today')")
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "syntax.py").write_text("def")
    (tmp_path / "nameless.py").write_text(
        "from lmaps.handlers.base import UnitHandler\nclass Nameless(UnitHandler):\n    'Nameless.'\n"
    )
    (tmp_path / "good.py").write_text(
        "from lmaps.handlers.base import UnitHandler\nclass Good(UnitHandler):\n    'Good.'\n    type = 'good'\n"
    )
    found = find_handlers([str(tmp_path)])
    assert found.get("good").describe()["doc"] == "Good."
    assert found.get("noop")
    assert found.describe()["good"]["source"] == str(tmp_path / "good.py")
    for name, words in (
        ("raises", "not today"),
        ("empty", "no UnitHandler"),
        ("syntax", "SyntaxError"),
        ("nameless", "no type"),
    ):
        with pytest.raises(UnitUnusable, match=words):
            found.get(name)


def test_a_handler_of_another_package_is_found_by_its_entry_point(tmp_path):
    (tmp_path / "theirs.py").write_text(
        "from lmaps.handlers.base import UnitHandler\nclass Theirs(UnitHandler):\n    'Theirs.'\n    type = 'theirs'\n"
    )
    (tmp_path / "theirs-1.dist-info").mkdir()
    (tmp_path / "theirs-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (tmp_path / "theirs-1.dist-info/entry_points.txt").write_text(
        "[lmaps.handlers]\ntheirs = theirs:Theirs\ngone = theirs:Gone\n"
    )
    code = "import json; from lmaps.handlers import find_handlers; print(json.dumps(find_handlers().describe()))"
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["theirs"] | {"args_schema": {}} == {
        "type": "theirs", "doc": "Theirs.", "preview": "none", "args_schema": {}, "source": "theirs:Theirs (theirs)",
    }  # fmt: skip
    assert "Gone" in found["gone"]["error"]
    assert "noop" in found


def test_entry_points_are_those_that_importlib_finds(monkeypatch):
    for group in ("console_scripts", "lmaps.handlers", "pytest11", "none"):
        monkeypatch.setattr(registry, "GROUP", group)
        _entry_points.cache_clear()
        assert {point for _, point in _entry_points()} == set(importlib.metadata.entry_points(group=group))
    _entry_points.cache_clear()


def test_packages_that_cannot_be_read_are_passed_over(tmp_path, monkeypatch):
    (tmp_path / "odd-1.dist-info/entry_points.txt").mkdir(parents=True)
    (tmp_path / "bad-1.dist-info").mkdir()
    (tmp_path / "bad-1.dist-info/entry_points.txt").write_bytes(b"[lmaps.handlers]\nx = x:X\n\xff = x:X\n")
    (tmp_path / "bare-1.dist-info").mkdir()
    (tmp_path / "bare-1.dist-info/entry_points.txt").write_text("[lmaps.handlers]\nx\n")
    monkeypatch.syspath_prepend(tmp_path)
    _entry_points.cache_clear()
    names = {point.name for _, point in _entry_points()}
    _entry_points.cache_clear()
    assert "noop" in names
    assert "x" not in names


def test_the_first_package_of_a_name_counts(tmp_path, monkeypatch):
    for place, handler in (("older", "old"), ("newer", "new")):
        info = tmp_path / place / "Theirs-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Theirs\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[lmaps.handlers]\n{handler} = theirs:Theirs\n")
        monkeypatch.syspath_prepend(tmp_path / place)
    _entry_points.cache_clear()
    names = {point.name for _, point in _entry_points()}
    _entry_points.cache_clear()
    assert "new" in names
    assert "old" not in names


def test_command_says_what_to_run(tmp_path):
    text = (
        "meta: {name: web}\nhandler: {type: command, args: {argv: [./bin/x, '{state}', '$HOME'], cwd: sub,"
        " environment: {A: b}, changed: [10]}}\n"
    )
    web = unit(text)
    program = HANDLERS.get("command")(context=web).program(state(web, [{"a": "; rm -rf /"}]), tmp_path)
    assert program.argv == ("/units/bin/x", f"{tmp_path}/state.json", "$HOME")
    assert json.loads(program.stdin) == json.loads(program.files["state.json"]) == [{"a": "; rm -rf /"}]
    assert (program.cwd, program.environment, program.success) == ("/units/sub", {"A": "b"}, frozenset({0, 10}))
    [finding] = HANDLERS.get("command").check(web)
    assert finding.message == "there is no program /units/./bin/x" or "bin/x" in finding.message


@pytest.mark.parametrize(("name", "file"), [("salt_call", "lmaps.sls"), ("puppet_apply", "data.json")])
@pytest.mark.parametrize("data_type", ["YamlFile", "YamlList", "YamlKeyList", "YamlKeyDict"])
def test_what_clients_send_to_other_tools_is_one_setting_of_the_author(name, file, data_type, tmp_path):
    args = {"salt_call": "{states: s}", "puppet_apply": "{manifest: m}"}[name]
    web = unit(
        f"meta: {{name: web, data_type: {data_type}, store_key: sites}}\nhandler: {{type: {name}, args: {args}}}\n"
    )
    sent = {"postgres.bins_dir": "/tmp/x", "apache::package": "x", "include": ["x"]}
    program = HANDLERS.get(name)(context=web).program(state(web, [sent]), tmp_path)
    data = json.loads(program.files[file].removeprefix(b"#!json\n"))
    assert data == {"sites": [sent] if data_type in ("YamlList", "YamlKeyList") else sent}


def test_noop_prints_the_state(tmp_path, capsys):
    web = unit("meta: {name: web, data_type: YamlKeyList, store_key: vhosts}")
    HANDLERS.get("noop")(context=web).apply(state(web, [{"a": "no"}]), tmp_path)
    assert capsys.readouterr().out == "vhosts:\n- a: 'no'\n"


SITE = """\
meta: {name: site, data_type: YamlKeyList, store_key: sites}
handler: {type: ansible_playbook, args: {playbook: p/site.yml, tags: [a, b], become: true, limit: web, extra_args: [-v]}}
params: {properties: {name: {type: string}, title: {type: string, default: "{{ now() }}"}}}
"""


def test_ansible_says_what_to_run(tmp_path):
    site = unit(SITE)
    program = HANDLERS.get("ansible_playbook")(context=site).program(state(site, [{"name": "x"}]), tmp_path)
    assert program.argv[0].endswith("/ansible-playbook")
    assert program.argv[1:] == (
        *("--inventory", "localhost,", "--extra-vars", f"@{tmp_path}/vars.yaml"),
        *("--limit", "web", "--tags", "a,b", "--become", "-v", "--", "/units/p/site.yml"),
    )
    assert Path(program.environment["ANSIBLE_CONFIG"]).read_text() == "[defaults]\n"
    assert program.environment["ANSIBLE_ROLES_PATH"] == "/units/p/roles"
    assert program.events
    assert not any("x" in word.split("/") for word in program.argv)


def test_the_clients_text_is_marked_and_the_authors_is_not():
    site = unit(SITE)
    text = variables_file(state(site, [{"name": "{{ lookup('pipe', 'id') }}"}])).decode()
    assert text.startswith("---\n")
    assert "!unsafe \"{{ lookup('pipe', 'id') }}\"" in text
    assert 'title": "{{ now() }}"' in text or '"title": "{{ now() }}"' in text


def test_the_variables_are_written_with_signs_of_life():
    beats = []
    made = state(unit(SITE), [{"name": str(number)} for number in range(50)])
    assert variables_file(made) == variables_file(replace(made, beat=lambda: beats.append(1)))
    assert len(beats) >= 2 * 50


FORGED = "{{ lookup('pipe', 'id') }}"


@pytest.mark.parametrize(
    ("given", "completed"),
    [
        ({}, {"name": FORGED, "title": "{{ now() }}"}),
        ({"name": "a"}, {"name": "a", "title": FORGED}),
        ({"name": 7}, {"name": FORGED, "title": FORGED}),
        ({"name": "a"}, {"name": "a", FORGED: "x"}),
        ({"name": "a"}, {"name": "a", "more": {"deep": [FORGED]}}),
        ({"name": "a", "more": {}}, {"name": "a", "more": {"deep": {FORGED: FORGED}}}),
    ],
)
def test_what_the_manager_says_was_given_makes_no_template_of_anything(given, completed):
    site = unit(SITE)
    text = variables_file(State(site, 1, [given], [completed])).decode()
    assert text.count("lookup") == text.count(f'!unsafe "{FORGED}"')
    assert text.count("lookup") >= 1
    if completed.get("title") == "{{ now() }}":
        assert '"title": "{{ now() }}"' in text, "the unit's own default stays a template"


@pytest.mark.parametrize("text", ["no", "", "0777", "12:30", "~", "1e3", "2026-11-23", "null", "=", "<<"])
def test_text_that_yaml_would_read_as_something_else_is_left_literal(text):
    site = unit(SITE)
    dumped = variables_file(state(site, [{"name": text}])).decode()
    assert yaml.safe_load(dumped.replace("!unsafe ", ""))["sites"][0]["name"] == text


def test_marking_goes_by_origin_keys_too():
    marked = mark(
        {"a": {"k": "v", "d": "w"}, "l": ["x", {"y": "z"}], "n": 1}, {"a": {"k": "v"}, "l": ["x", {"y": "z"}], "n": 1}
    )
    kinds = {key: type(key) is ClientText for key in marked["a"]}
    assert kinds == {"k": True, "d": False}
    assert type(marked["a"]["k"]) is ClientText
    assert type(marked["a"]["d"]) is str
    assert [type(marked["l"][0]), type(marked["l"][1]["y"])] == [ClientText, ClientText]


@pytest.mark.parametrize(
    "name", ["ansible_become", "hosts", "item", "vars", "lookup", "with-dash", "1st", "groups", "a\n"]
)
def test_names_that_ansible_keeps(name):
    assert not is_usable(name)
    assert name in RESERVED or not name.isidentifier() or name.startswith("ansible_")


def test_a_playbook_that_is_missing_is_a_finding(tmp_path):
    (tmp_path / "p.yml").write_text("[]")
    check = HANDLERS.get("ansible_playbook").check
    assert check(unit(SITE.replace("p/site.yml", "p.yml"), str(tmp_path / "u.yaml"))) == []
    [missing] = check(unit(SITE, str(tmp_path / "u.yaml")))
    assert "there is no playbook" in missing.message


def test_a_handler_derived_from_that_of_ansible_checks_the_names_too(tmp_path):
    (tmp_path / "p.yml").write_text("[]")
    text = (
        "meta: {name: a, data_type: YamlFile}\n"
        "handler: {type: ours, args: {playbook: p.yml}}\n"
        "params: {properties: {hosts: {}}}\n"
    )

    class Ours(AnsiblePlaybook):
        type = "ours"

    findings = Ours.check(unit(text, str(tmp_path / "u.yaml")))
    assert [finding.line for finding in findings] == [1, 3]


class _Dumper(yaml.CSafeDumper):
    """PyYAML's own, with the same marks."""

    def ignore_aliases(self, _data):
        return True


def _client_text(dumper, text):
    plain = yaml.resolver.Resolver().resolve(yaml.ScalarNode, str(text), (True, False))
    tag = "!unsafe" if plain == "tag:yaml.org,2002:str" else "tag:yaml.org,2002:str"
    return dumper.represent_scalar(tag, str(text), style='"')


_Dumper.add_representer(ClientText, _client_text)
_Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))
HARD = [
    "no",
    "",
    "0777",
    "~",
    "<<",
    "\x7f",
    "\\\x7f",
    "\U0001f600",
    "\\\U0001f600",
    "\ud7ff",
    "a\x85b\u2028",
    "\ufeff",
    "x: y",
    "- a",
    "#c",
]
TEXT = st.text(max_size=150) | st.sampled_from(HARD) | st.integers(100, 1500).map(lambda count: "k" * count)
WORD = TEXT | TEXT.map(ClientText)
PLAIN = WORD | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUE = st.recursive(
    PLAIN, lambda below: st.lists(below, max_size=4) | st.dictionaries(WORD, below, max_size=4), max_leaves=20
)


@given(st.dictionaries(WORD, VALUE, min_size=1, max_size=3))
def test_variables_are_written_as_pyyaml_writes_them(variables):
    told = yaml.dump(variables, Dumper=_Dumper, explicit_start=True, sort_keys=False, width=2**20)
    assert _events(f"---\n{_block(variables, '', lambda: None)}\n") == _events(told)


def _events(text):
    """What a reader of this text is told, with the tags and quotes of each scalar."""
    names = ("value", "tag", "style", "implicit")
    events = yaml.parse(text, Loader=yaml.CSafeLoader)
    return [
        (type(event), [getattr(event, name) for name in names if isinstance(event, yaml.ScalarEvent)])
        for event in events
    ]


def test_the_words_of_ansibles_events_are_those_that_the_callback_writes() -> None:
    """Each kind of event, each field beside ``text``, and the counts of Ansible's statistics."""
    callback = Path(ansible.__file__).parent / "callback" / "lmaps_events.py"
    written = set(AnsiblePlaybook.event_words & set("ok changed failures unreachable skipped rescued ignored".split()))
    for node in ast.walk(ast.parse(callback.read_text())):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="_write" | "_write_result" | "_write_skipped"), args=args, keywords=named
            ):
                written |= {word.value for word in args[:1] if isinstance(word, ast.Constant)}
                written |= {keyword.arg for keyword in named if keyword.arg}
            case ast.Dict(keys=[ast.Constant(value="event"), *_]):
                written.add("event")
    assert AnsiblePlaybook.event_words == written
