"""Runs inside Ansible: what the fork server of a warm start loads, and what each of its children renews.

Nothing is run here. Modules are imported, and data that is the same in every run is prepared, to be found again by its
text: the YAML of the settings of Ansible's own plugins and of its list of moved plugins, and the imports of its
modules. Any other text is read as usual. Everything that Ansible makes for one run (its command line, variables, vault,
plugins, their paths, warnings) each child makes itself, as if started anew.

Two private modules of Ansible are imported: what it parses are texts tagged with their origin and trust, the tags have
no public name, and text that is found again without looking at them could make a client's template trusted.
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
"""Files that Ansible reads when it is imported: the fork server ends when one of them changes."""
TESTED_RELEASES = ("2.19.", "2.20.", "2.21.", "2.22.")
"""Releases that keep nothing of one run from the time of their import except settings, which `renew` reads anew."""
MODULES = """
    cli.playbook cli.scripts executor.process.worker executor.task_executor
    playbook.handler_task_include playbook.included_file playbook.role_include
""".split()
PLUGIN_KINDS = (
    "action become cache callback connection doc_fragments filter inventory lookup shell strategy test vars".split()
)

yaml_load = yaml.load
prepared: dict = {}
"""The data of a text, by `_key`: a list with as many copies as a run wants, since a run may change what it is given."""
import_trees: dict = {}
"""Syntax trees of Ansible's modules, reduced to their imports, by their source."""


def load():
    """Import what a playbook will need.

    Ansible makes a temporary folder when it is imported. Here that lies in a folder of ours, which is removed again;
    the function that would remove it at each child's exit goes too.
    """
    if not __version__.startswith(TESTED_RELEASES):
        raise SystemExit(f"ansible-core {__version__} is not known to start warm")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ANSIBLE_LOCAL_TEMP"] = folder
        for name in MODULES:
            importlib.import_module(f"ansible.{name}")
        atexit.unregister(importlib.import_module("ansible.utils.path").cleanup_tmp_file)
        prepare_data()
    del os.environ["ANSIBLE_LOCAL_TEMP"]


def prepare_data():
    """Parse Ansible's own files, and have the data found by their text."""
    plugins = {kind: plugins_of(kind) for kind in PLUGIN_KINDS}
    fragments = {module.__name__.rpartition(".")[2]: module.ModuleDocFragment for module in plugins["doc_fragments"]}
    for kind in PLUGIN_KINDS:
        if kind not in ("action", "doc_fragments"):
            for module in plugins[kind]:
                prepare_documentation(module, fragments)
    ansible = Path(importlib.import_module("ansible").__file__).parent
    prepare((ansible / "config" / "ansible_builtin_runtime.yml").read_bytes(), yaml.CBaseLoader)
    yaml.load = load_yaml
    common = importlib.import_module("ansible.executor.module_common")
    for path in [*(ansible / "module_utils").rglob("*.py"), *(ansible / "modules").glob("*.py")]:
        source = path.read_bytes()
        if b"Embed" not in source:  # of such a module Ansible reads more than the imports
            import_trees[source] = only_imports(ast.parse(source))
    compile_module = common._compile_module_ast
    common._compile_module_ast = lambda name, source: import_trees.get(source) or compile_module(name, source)


def plugins_of(kind):
    """Import and return Ansible's own plugins of a kind.

    The modules that they import stay loaded; they themselves are forgotten: a run may have other plugins of the same
    names, and Python would take the ones that are loaded already.
    """
    package, before = importlib.import_module(f"ansible.plugins.{kind}"), set(sys.modules)
    modules = pkgutil.iter_modules(package.__path__)
    names = [module.name for module in modules if (kind, module.name) != ("cache", "base")]
    plugins = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    forget({name for name in set(sys.modules) - before if name.startswith(f"{package.__name__}.")})
    return plugins


def forget(names):
    """Undo the import of modules: remove them from `sys.modules` and from their packages' attributes.

    The plugin ``list`` stays an attribute of the package `ansible.plugins.lookup` otherwise, whose own functions then
    find it where they mean Python's ``list``: the second warm run of ``with_items`` failed.
    """
    for name in sorted(names, reverse=True):  # what is in a package before the package
        module = sys.modules.pop(name)
        package, _, attribute = name.rpartition(".")
        attributes = vars(sys.modules[package])
        if attributes.get(attribute) is module:
            del attributes[attribute]


def prepare_documentation(module, fragments):
    """Prepare the settings of a plugin, and those that it shares with others.

    Ansible tags the latter with the plugin's own file as their origin.
    """
    tags = importlib.import_module("ansible._internal._datatag._tags")
    loader = importlib.import_module("ansible.parsing.yaml.loader").AnsibleLoader

    def prepare_own(text):
        return prepare(tags.Origin(path=module.__file__).tag(tags.TrustedAsTemplate().tag(text)), loader)

    shared = (prepare_own(getattr(module, "DOCUMENTATION", "")) or {}).get("extends_documentation_fragment", [])
    for fragment in shared.split(",") if isinstance(shared, str) else shared:
        name, _, variable = fragment.strip().partition(".")
        text = getattr(fragments.get(name), variable.upper() or "DOCUMENTATION", None)
        if text is not None:
            prepare_own(text)


def prepare(text, loader):
    """Have the data of this text ready for one more load, and return them; the caller must not change them."""
    data = yaml_load(text, Loader=loader)
    prepared.setdefault(_key(text, loader), []).append(data)
    return data


def load_yaml(stream, Loader):  # noqa: N803 (PyYAML's name)
    """Load as PyYAML's function does, from the prepared data where there are some. No data are returned twice."""
    ready = prepared.get(_key(stream, Loader)) if isinstance(stream, (str, bytes)) else None
    return ready.pop() if ready else yaml_load(stream, Loader)


def _key(text, loader):
    helper = importlib.import_module("ansible.module_utils._internal._datatag").AnsibleTagHelper
    return loader, text, helper.tags(text)


def only_imports(tree):
    """Return the part of a module's tree that Ansible reads: its imports, at the top or not, and METADATA."""
    top = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom)) or _is_metadata(node)]
    below = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)) and node not in top]
    return ast.Module([*top, ast.If(ast.Constant(True), below, [])], [])


def _is_metadata(node):
    return isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "METADATA" for target in node.targets)


def renew(changed):
    """In a child: read the settings anew that come from ``changed`` variables, and draw new random numbers."""
    constants = importlib.import_module("ansible.constants")
    for name, definition in constants.config.get_configuration_definitions().items():
        if any(entry["name"] in changed for entry in definition.get("env", ())):
            constants.set_constant(name, constants.config.get_config_value(name, variables=vars(constants)))
    context = importlib.import_module("ansible.playbook.play_context").PlayContext
    context.fattributes["pipelining"].default = constants.ANSIBLE_PIPELINING  # a copy since the import
    importlib.import_module("ansible.utils.vars").random_int = f"{secrets.randbelow(2**32):08x}"


load()
