"""A warm Ansible says and does what the command does, playbook by playbook."""

import json
import os
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from lmaps.handlers.ansible import AnsiblePlaybook
from lmaps.handlers.ansible.handler import WARM
from lmaps.handlers.base import State
from lmaps.model.units import Unit
from lmaps.process import ForkServers, Line, Outcome, Process, descendants, set_subreaper
from lmaps.process.warm import ForkedChild
from lmaps.testing import make_unit
from tests.ansible import install_ansible
from tests.daemons import until

pytestmark = [
    pytest.mark.ansible,
    pytest.mark.skipif(
        not (Path(sys.executable).parent / "ansible-playbook").exists(),
        reason="ansible-playbook is not installed",
    ),
]

UNIT = """\
meta: {{name: site, data_type: YamlKeyList, store_key: sites, primary_key: name}}
handler: {{type: ansible_playbook, args: {{playbook: site.yml, program: {program}{args}}}}}
params: {{type: object, required: [name], properties: {{name: {{type: string}}, note: {{default: "{{{{ 1 + 1 }}}}"}}}}}}
"""
HEAD = "- hosts: all\n  gather_facts: false\n  tasks:\n"
SETTINGS = "roles_path collections_paths default_transport config_file ansible_pipelining"
FILES = {
    "roles/greet/tasks/main.yml": "- {name: say, debug: {msg: hi}}\n- {name: \"{{ 'a' | twist }}\", debug: {msg: x}}\n",
    "roles/greet/filter_plugins/twist.py": "class FilterModule:\n    def filters(self):\n        return {'twist': lambda text: text * 2}\n",
    "collections/ansible_collections/my/own/plugins/filter/shout.py": "class FilterModule:\n    def filters(self):\n        return {'shout': str.upper}\n",
    "collections/ansible_collections/my/own/galaxy.yml": "{namespace: my, name: own, version: 1.0.0}\n",
    "templates/page.j2": "{{ sites[0].name }} {{ sites[0].note }}\n",
    "vault": "not so secret\n",
    "hosts": "[some]\nlocalhost ansible_connection=local\n",
    "group_vars/some.yml": "grouped: yes it is\n",
}
OWN_DEBUG = """\
from ansible.plugins.action import ActionBase
class ActionModule(ActionBase):
    _supports_check_mode = True
    def run(self, tmp=None, task_vars=None):
        return {"changed": True, "msg": "mine"}
"""
OWN = {
    "own debug": {"action_plugins/debug.py": OWN_DEBUG},
    "own others": {
        "lookup_plugins/env.py": """\
DOCUMENTATION = "name: env\\noptions: {word: {default: other, vars: [{name: lookup_word}]}}\\n"
from ansible.plugins.lookup import LookupBase
class LookupModule(LookupBase):
    def run(self, terms, variables=None, **options):
        self.set_options(var_options=variables, direct=options)
        return [self.get_option("word")]
""",
        "connection_plugins/local.py": """\
DOCUMENTATION = "name: local\\noptions: {pipelining: {default: false, type: bool, vars: [{name: ansible_pipelining}]}}\\n"
from ansible.plugins.connection.local import Connection as Local
class Connection(Local):
    transport = "local"
    def exec_command(self, *args, **options):
        print("my own connection", flush=True)
        return super().exec_command(*args, **options)
""",
        "module_utils/common/file.py": "import os\nos._exit(7)\n",
    },
    "own connection": {
        "connection_plugins/own.py": """\
DOCUMENTATION = "name: own\\noptions: {}\\n"
from ansible.errors import AnsibleError
from ansible.plugins.connection.local import Connection as Local
class Connection(Local):
    transport = "own"
    def exec_command(self, *args, **options):
        raise AnsibleError(f"pipelining: {self._play_context.pipelining}")
""",
    },
}
"""Plugins and parts of modules that lie beside a playbook, with the names of Ansible's own."""
BOOKS: dict[str, tuple[str, str]] = {
    "files": (
        HEAD
        + "    - {name: make, file: {path: '{{ playbook_dir }}/out', state: directory}}\n"
        + "    - {name: copy, copy: {dest: '{{ playbook_dir }}/out/copied', content: '{{ sites[0].name }}'}}\n"
        + "    - {name: render, template: {dest: '{{ playbook_dir }}/out/rendered', src: page.j2}}\n"
        + "    - {name: ask, command: {argv: [sh, -c, 'umask; pwd; env | sort']}, register: asked}\n"
        + '    - {name: told, debug: {msg: \'{{ asked.stdout_lines | reject("search", "LMAPS") | list }}\'}, failed_when: true, ignore_errors: true}\n',
        "",
    ),
    "settings": (
        HEAD
        + "".join(
            f'    - {{name: {name}, debug: {{msg: \'{{{{ lookup("config", "{name.upper()}") }}}}\'}}, failed_when: true, ignore_errors: true}}\n'
            for name in SETTINGS.split()
        ),
        "",
    ),
    "variables": (
        HEAD + "    - {name: '{{ sites[0].name }} {{ sites[0].note }} {{ more | default(0) }}', debug: {msg: x}}\n",
        "",
    ),
    "more variables": (
        HEAD + "    - {name: '{{ sites[0].name }} {{ more }}', debug: {msg: x}}\n",
        ", extra_args: [-e, more=1]",
    ),
    "role": ("- hosts: all\n  gather_facts: false\n  roles: [greet]\n", ""),
    "collection": (HEAD + "    - {name: \"{{ 'x' | my.own.shout }}\", debug: {msg: x}}\n", ""),
    "loop": (
        HEAD + "    - {name: each, debug: {msg: '{{ item }}'}, loop: [one, two]}\n",
        ", tags: [all], limit: localhost",
    ),
    "failing": (HEAD + "    - {name: breaks, command: 'sh -c \"echo why >&2; exit 3\"'}\n", ""),
    "unreachable": (
        HEAD + "    - {name: ask, ping: {}}\n",
        ", inventory: 'no.such.host.invalid,', extra_args: [--timeout, '2']",
    ),
    "syntax": ("- hosts: [", ""),
    "no such module": (HEAD + "    - {no_such_module: {}}\n", ""),
    "undefined": (HEAD + "    - {name: x, debug: {msg: '{{ nothing }}'}}\n", ""),
    "no_log": (HEAD + "    - {name: hidden, command: {argv: [echo, canary]}, no_log: true}\n", ""),
    "async": (HEAD + "    - {name: later, command: {argv: [sleep, '0.1']}, async: 20, poll: 1}\n", ""),
    "later": (
        HEAD
        + "    - {name: begin, command: {argv: [echo, x]}, async: 20, poll: 0, register: begun}\n"
        + "    - {name: look, async_status: {jid: '{{ begun.ansible_job_id }}'}, register: told, until: told.finished, retries: 50, delay: 0}\n",
        "",
    ),
    "rescue and handlers": (
        HEAD
        + "    - block: [{name: breaks, command: 'false'}]\n      rescue: [{name: helps, command: 'true', notify: tell}]\n"
        + "  handlers: [{name: tell, debug: {msg: told}}]\n",
        "",
    ),
    "facts of one run": (
        HEAD
        + "    - {name: before, debug: {msg: \"{{ mine | default('none') }} {{ ansible_facts | length }}\"}}\n"
        + "    - {set_fact: {mine: 1}}\n    - {add_host: {name: other}}\n",
        "",
    ),
    "variables of groups": (HEAD + "    - {name: '{{ grouped }}', debug: {msg: x}}\n", ", inventory: hosts"),
    "check": (HEAD + "    - {name: make, file: {path: '{{ playbook_dir }}/out', state: directory}}\n", ", check: true"),
    "facts": (
        "- hosts: all\n  gather_facts: true\n  tasks:\n    - {name: '{{ ansible_facts.python.version.major }}', debug: {msg: x}}\n",
        "",
    ),
    "warnings": (HEAD + "    - {name: x, debug: {msg: x}, when: '{{ true }}', vars: {hosts: 1}}\n", ""),
    "bad option": (HEAD + "    - {name: x, debug: {msg: x}}\n", ", extra_args: [--no-such-option]"),
    "verbose": (HEAD + "    - {name: x, debug: {msg: x}}\n", ", extra_args: [-vv]"),
    "vault": (HEAD + "    - {name: x, debug: {msg: x}}\n", ", extra_args: [--vault-password-file, VAULT]"),
    "own debug": (HEAD + "    - {name: x, debug: {msg: x}}\n", ""),
    "own others": (
        HEAD
        + "    - {name: ask, command: {argv: ['true']}, register: asked, ignore_errors: true}\n"
        + "    - {name: \"{{ asked.rc }} {{ lookup('env', 'x') }}\", debug: {msg: x}}\n",
        "",
    ),
    "own connection": ("- hosts: all\n  connection: own\n  tasks:\n    - {name: ask, ping: {}}\n", ""),
}


class Runner:
    """Runs playbooks as a worker does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        install_ansible(folder / "venv")
        self.starts = ForkServers()
        self.jobs = 0

    def start(self, unit: Unit, lines: list[Line], *, warm: bool, plan: bool = False) -> Process:
        self.jobs += 1
        folder = self.folder / f"job{self.jobs}"
        folder.mkdir()
        document = {"name": "{{ 6 * 7 }}"}
        handler, state = AnsiblePlaybook(context=unit), State(unit, 1, [document], [unit.complete(document)])
        program = handler.plan(state, folder) if plan else handler.program(state, folder)
        return Process(program if warm else replace(program, warm=None), folder, lines.append, self.starts)

    def finish(self, process: Process) -> Outcome:
        while process.outcome is None:
            select.select(process.fds(), [], [], 0.1)
            process.run_once()
        return process.outcome

    def run(self, unit: Unit, *, warm: bool, plan: bool = False) -> tuple[Outcome, list[Any], dict[str, str]]:
        """How it ended; what was said, without what differs between any two runs; the files that were written."""
        lines: list[Line] = []
        process = self.start(unit, lines, warm=warm, plan=plan)
        assert isinstance(process.child, ForkedChild) == warm
        outcome = self.finish(process)
        assert list((self.folder / f"job{self.jobs}" / "tmp").iterdir()) == []
        lines.sort(key=lambda each: each.stream)
        told = [(line.stream, _same(line.text), _same(repr(line.event))) for line in takewhile(_not_at_exit, lines)]
        written = {path.name: path.read_text() for path in (unit.directory / "out").glob("*")}
        shutil.rmtree(unit.directory / "out", ignore_errors=True)
        return outcome, told, written


def _not_at_exit(line: Line) -> bool:
    """Ansible 2.21 on Python 3.12, warm or not, may tell of a thread that came too late, as the last of its output."""
    return not line.text.startswith("Exception in thread Thread-1 (accepter)")


def _same(text: str) -> str:
    text = re.sub(r"\d+:\d\d:\d\d\.\d+|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+", "TIME", text)
    return re.sub(r"/job\d+|ansible-local-\w+|ansible-tmp-[\w.-]+|/tmp\w{8}(?=/)|\d+\.\d{4,}", "VARIES", text)


@pytest.fixture(scope="module")
def warm_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    set_subreaper()
    made = Runner(tmp_path_factory.mktemp("warm"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(made.folder))
        made.finish(
            made.start(_unit(made.folder / "first", HEAD + "    - {name: x, debug: {msg: x}}\n"), [], warm=True)
        )
        until(lambda: all(server.is_ready() for server in made.starts.servers()), within=60)
    yield made
    made.starts.close()
    assert descendants(os.getpid()) == []


@pytest.fixture
def runner(warm_runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Whose fork server is ready, and goes on to be."""
    monkeypatch.setenv("HOME", str(warm_runner.folder))
    return warm_runner


@pytest.mark.parametrize(
    ("name", "plan"), [*((name, False) for name in BOOKS), ("files", True), ("failing", True), ("role", True)]
)
def test_warm_is_the_same_as_the_command(runner: Runner, tmp_path: Path, name: str, plan: bool) -> None:
    unit = _unit(tmp_path, *BOOKS[name], name)
    cold = runner.run(unit, warm=False, plan=plan)
    assert runner.run(unit, warm=True, plan=plan) == cold
    assert "".join(text for _, text, _ in cold[1]), "it said something"


CHANGES = {
    "site.yml": ("twist", "upper"),
    "roles/greet/tasks/main.yml": ("say", "say again"),
    "roles/greet/filter_plugins/twist.py": ("* 2", "* 30"),
    "collections/ansible_collections/my/own/plugins/filter/shout.py": ("upper", "capitalize"),
    "filter_plugins/near.py": ("+ 'a'", "+ 'another'"),
    "library/mine.py": ("changed=True", "changed=False"),
    "group_vars/some.yml": ("yes it is", "no more"),
    "templates/page.j2": ("note", "name"),
}
"""What is changed on disk, and how, between two runs of `SEEN`; in length too, for that is what Python looks at."""
SEEN = (
    HEAD
    + "    - {name: \"{{ grouped }} {{ 'x' | near }} {{ 'ab' | my.own.shout }} {{ 'a' | upper }} twist\", mine: {}}\n"
    + "    - {name: \"{{ lookup('template', 'page.j2') }}\", debug: {msg: x}}\n    - {include_role: {name: greet}}\n"
)
OWN_MODULE = """\
from ansible.module_utils.basic import AnsibleModule
AnsibleModule({}).exit_json(changed=True)
"""


def test_changes_on_disk_are_seen(runner: Runner, tmp_path: Path) -> None:
    unit = _unit(tmp_path, SEEN, ", inventory: hosts")
    for path, text in (
        (
            "filter_plugins/near.py",
            FILES["roles/greet/filter_plugins/twist.py"].replace("twist", "near").replace("* 2", "+ 'a'"),
        ),
        ("library/mine.py", OWN_MODULE),
    ):
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text(text)
    before = runner.run(unit, warm=True)
    assert before[0].rc == 0, before
    for path, (old, new) in CHANGES.items():
        text = (tmp_path / path).read_text()
        assert old in text
        (tmp_path / path).write_text(text.replace(old, new))
        after = runner.run(unit, warm=True)
        assert after != before, path
        before = after
    assert runner.run(unit, warm=False) == before


IMPORTS = """\
import ast, importlib.util, inspect, pathlib, sys
spec = importlib.util.spec_from_file_location("preparation", sys.argv[1])
prepared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(prepared)
from ansible.executor import module_common as common
def found(name, source, init, tree):
    common._compile_module_ast = lambda *_: tree
    given = tree if "tree" in inspect.signature(common.ModuleDepFinder).parameters else source
    finder = common.ModuleDepFinder(name, given, init)
    return finder.submodules, finder.optional_imports, common._get_module_metadata(tree)
ansible = pathlib.Path(common.__file__).parents[1]
for path in [*ansible.glob("module_utils/**/*.py"), *ansible.glob("modules/*.py")]:
    source, name = path.read_bytes(), ".".join(path.relative_to(ansible.parent).with_suffix("").parts)
    if source in prepared.import_trees:
        told = [found(name, source, path.stem == "__init__", tree) for tree in (ast.parse(source), prepared.import_trees[source])]
        assert told[0] == told[1], path
assert len(prepared.import_trees) > 200, len(prepared.import_trees)
"""


def test_modules_are_sent_with_the_same_imports(tmp_path: Path) -> None:
    """What is made ahead of a module's source leads Ansible to the same files as the source."""
    command = [sys.executable, "-c", IMPORTS, str(WARM.preparation)]
    told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert told.returncode == 0, told.stderr


HELD = """\
import importlib, importlib.util, json, sys
def load(path):
    spec = importlib.util.spec_from_file_location("preparation", path)
    prepared = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(prepared)
    prepared.renew(set())
for name in sys.argv[1:]:
    load(name) if name.startswith("/") else importlib.import_module(name)
plugins = {name: module for name, module in sys.modules.items() if name.startswith("ansible.plugins")}
print(json.dumps({name: sorted(vars(module)) for name, module in plugins.items()}))
"""


def _held(folder: Path, *loaded: str) -> dict[str, list[str]]:
    """Ansible's modules of plugins, and their attributes, once this is loaded: modules by name, or a preparation."""
    command = [sys.executable, "-c", HELD, *loaded]
    told = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env={**os.environ, "HOME": str(folder)}, check=False
    )
    assert told.returncode == 0, told.stderr
    return dict(json.loads(told.stdout))


def test_plugins_that_are_forgotten_are_held_by_no_package(tmp_path: Path) -> None:
    """A child has the attributes of an interpreter that has loaded nothing but what the child has loaded."""
    child = _held(tmp_path, str(WARM.preparation))
    fresh = _held(tmp_path, "ansible.cli.playbook", *child)
    assert child == fresh
    assert "ansible.plugins.lookup" in child
    assert "ansible.plugins.lookup.list" not in child


LOOPS = {
    "with_items": "[one, [two, three]]",
    "with_dict": "{a: 1, b: 2}",
    "with_list": "[one, [two, three]]",
    "with_sequence": "'start=1 end=3 format=n%d'",
    "with_together": "[[a, b], [1, 2]]",
    "with_nested": "[[a, b], [1, 2]]",
    "with_indexed_items": "[one, [two, three]]",
    "with_subelements": "[[{name: a, of: [1, 2]}], of]",
    "with_lines": "[echo one; echo two]",
    "loop": "[one, [two, three]]",
}
LOOKUPS = {
    "items": "[1, [2]]",
    "list": "[1, [2]]",
    "dict": "{'a': 1}",
    "sequence": "'count=2'",
    "together": "[1, 2], [3, 4]",
    "nested": "[1, 2], [3, 4]",
    "indexed_items": "[1, [2]]",
    "vars": "'grouped'",
    "varnames": "'^grouped'",
    "template": "'page.j2'",
    "ansible.builtin.list": "[1, [2]]",
}
"""What is given to each."""


def test_loops_and_lookups_are_the_same_in_each_warm_run(runner: Runner, tmp_path: Path) -> None:
    """Their package uses names of Python that are names of plugins, too: `list`, `dict`, `vars`."""
    loops = [f"    - {{name: {word}, debug: {{msg: x}}, {word}: {terms}}}\n" for word, terms in LOOPS.items()]
    lookups = [
        f"    - {{name: \"{{{{ query('{name}', {terms}) }}}}\", debug: {{msg: x}}}}\n"
        for name, terms in LOOKUPS.items()
    ]
    unit = _unit(tmp_path, HEAD + "".join(loops + lookups), ", inventory: hosts")
    cold = runner.run(unit, warm=False)
    assert cold[0].rc == 0, cold
    servers = runner.starts.servers()
    for _ in range(3):
        assert runner.run(unit, warm=True) == cold
    assert runner.starts.servers() == servers, "one fork server has forked them all"


def test_a_run_leaves_nothing_to_the_next(runner: Runner, tmp_path: Path) -> None:
    """Neither variables and facts, nor the names of hosts, the tags, or the plugins beside a playbook."""
    quiet = _unit(tmp_path / "quiet", BOOKS["facts of one run"][0].replace("mine: 1", "other: 1"))
    loud = _unit(
        tmp_path / "loud",
        HEAD + "    - {set_fact: {mine: loud, cacheable: true}}\n    - {add_host: {name: another}}\n",
        ", extra_args: [-vvv, --diff, -e, mine=loud]",
        "own debug",
    )
    alone = runner.run(quiet, warm=True)
    for _ in range(3):
        assert "loud" in str(runner.run(loud, warm=True))
        assert runner.run(quiet, warm=True) == alone
    assert "loud" not in str(alone)


def _unit(directory: Path, book: str, args: str = "", name: str = "") -> Unit:
    for path, content in FILES.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(content)
    (directory / "site.yml").write_text(book)
    for path, content in OWN.get(name, {}).items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(content)
    return make_unit(
        UNIT.format(
            program=Path(os.environ["HOME"]) / "venv/bin/ansible-playbook",
            args=args.replace("VAULT", str(directory / "vault")),
        ),
        directory,
    )
