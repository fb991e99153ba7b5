"""Runs inside Ansible: what the helper of a warm start loads, and what each of its children renews.

Nothing is run here. Modules are imported, and what is the same at every run is made ahead from its text: the YAML of
Ansible's own plugins' settings and of its list of moved plugins, and which imports its modules have. Any other text is
read as ever. What Ansible makes for a run (its command line, variables, vault, plugins, their paths, warnings) each
child makes itself, as if started anew.
"""

import ast
import atexit
import importlib
import os
import pkgutil
import secrets
import sys
import tempfile
from pathlib import Path

import yaml
from ansible.release import __version__

READ = (os.environ.get("ANSIBLE_CONFIG", ""),)
TRIED = ("2.19.", "2.20.", "2.21.", "2.22.")
"""Releases that are known to keep nothing of what varies from the time of their import, but as a setting."""
MODULES = """
    cli.playbook cli.scripts executor.process.worker executor.task_executor
    playbook.handler_task_include playbook.included_file playbook.role_include
""".split()
KINDS = "action become cache callback connection doc_fragments filter inventory lookup shell strategy test vars".split()
"""Of plugins."""

yaml_load = yaml.load
made: dict = {}
"""What was made of a text, as often as it is wanted in a run, by `_key`."""
imports: dict = {}
"""The trees of Ansible's modules, with their imports alone, by their source."""


def load():
    """Import what a playbook will need. Ansible makes a temporary folder when it is imported: that one goes again."""
    if not __version__.startswith(TRIED):
        raise SystemExit(f"ansible-core {__version__} is not known to start warm")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ANSIBLE_LOCAL_TEMP"] = folder
        for name in MODULES:
            importlib.import_module(f"ansible.{name}")
        atexit.unregister(importlib.import_module("ansible.utils.path").cleanup_tmp_file)
        make_ahead()
    del os.environ["ANSIBLE_LOCAL_TEMP"]


def make_ahead():
    """Make what is made of Ansible's own files, and have it found by its text."""
    plugins = {kind: plugins_of(kind) for kind in KINDS}
    fragments = {module.__name__.rpartition(".")[2]: module.ModuleDocFragment for module in plugins["doc_fragments"]}
    for module in (module for kind in KINDS if kind not in ("action", "doc_fragments") for module in plugins[kind]):
        make_documentation(module, fragments)
    ansible = Path(importlib.import_module("ansible").__file__).parent
    make((ansible / "config" / "ansible_builtin_runtime.yml").read_bytes(), yaml.CBaseLoader)
    yaml.load = load_yaml
    common = importlib.import_module("ansible.executor.module_common")
    for path in [*(ansible / "module_utils").rglob("*.py"), *(ansible / "modules").glob("*.py")]:
        source = path.read_bytes()
        if b"Embed" not in source:  # into those Ansible looks deeper
            imports[source] = only_imports(ast.parse(source))
    compile_module = common._compile_module_ast
    common._compile_module_ast = lambda name, source: imports.get(source) or compile_module(name, source)


def plugins_of(kind):
    """Ansible's own plugins of a kind, and with them whatever they import.

    They themselves are forgotten: a run may have others of the same names, and the first one to be loaded counts.
    """
    package, before = importlib.import_module(f"ansible.plugins.{kind}"), set(sys.modules)
    names = [found.name for found in pkgutil.iter_modules(package.__path__) if (kind, found.name) != ("cache", "base")]
    plugins = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    forget({name for name in set(sys.modules) - before if name.startswith(f"{package.__name__}.")})
    return plugins


def forget(names):
    """Undo the import of modules: take them out of `sys.modules`, and off their packages, where import has put them.

    Functions of the package `ansible.plugins.lookup` that mean Python's `list` would find the plugin. What lies in a
    package goes before the package.
    """
    for name in sorted(names, reverse=True):
        module = sys.modules.pop(name)
        package, _, attribute = name.rpartition(".")
        held = vars(sys.modules[package])
        if held.get(attribute) is module:
            del held[attribute]


def make_documentation(module, fragments):
    """The settings of a plugin, and those that it shares with others; the latter count as written in its file, too."""
    tags = importlib.import_module("ansible._internal._datatag._tags")
    loader = importlib.import_module("ansible.parsing.yaml.loader").AnsibleLoader

    def make_own(text):
        return make(tags.Origin(path=module.__file__).tag(tags.TrustedAsTemplate().tag(text)), loader)

    shared = (make_own(getattr(module, "DOCUMENTATION", "")) or {}).get("extends_documentation_fragment", [])
    for told in shared.split(",") if isinstance(shared, str) else shared:
        name, _, variable = told.strip().partition(".")
        text = getattr(fragments.get(name), variable.upper() or "DOCUMENTATION", None)
        if text is not None:
            make_own(text)


def make(text, loader):
    """Have the data of this text ready for one more time; they are only to be looked at here."""
    data = yaml_load(text, Loader=loader)
    made.setdefault(_key(text, loader), []).append(data)
    return data


def load_yaml(stream, Loader):  # noqa: N803 (PyYAML's name)
    """As PyYAML's own. Nobody is given the same data twice."""
    ready = made.get(_key(stream, Loader)) if isinstance(stream, (str, bytes)) else None
    return ready.pop() if ready else yaml_load(stream, Loader)


def _key(text, loader):
    helper = importlib.import_module("ansible.module_utils._internal._datatag").AnsibleTagHelper
    return loader, text, helper.tags(text)


def only_imports(tree):
    """As much of a module's tree as Ansible looks at: its imports, whether at the top or not, and METADATA."""
    kept = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom)) or _is_metadata(node)]
    below = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)) and node not in kept]
    return ast.Module([*kept, ast.If(ast.Constant(True), below, [])], [])


def _is_metadata(node):
    return isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "METADATA" for target in node.targets)


def renew(changed):
    """Read the settings that the run has for itself, and draw what must not be the same in two runs."""
    constants = importlib.import_module("ansible.constants")
    for name, definition in constants.config.get_configuration_definitions().items():
        if any(entry["name"] in changed for entry in definition.get("env", ())):
            constants.set_constant(name, constants.config.get_config_value(name, variables=vars(constants)))
    context = importlib.import_module("ansible.playbook.play_context").PlayContext
    context.fattributes["pipelining"].default = constants.ANSIBLE_PIPELINING  # kept since the import
    importlib.import_module("ansible.utils.vars").random_int = f"{secrets.randbelow(2**32):08x}"


load()
