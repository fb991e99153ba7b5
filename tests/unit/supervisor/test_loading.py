import subprocess
import sys

LOAD = """
import sys
from lmaps.cli import lmapsd
"""
DAEMON = LOAD + "lmapsd.supervisor.Daemon\n"


def run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_daemon_is_loaded_without_what_it_never_uses():
    heavy = ["alembic", "sqlalchemy.orm", "jsonschema", "attr", "lmaps.client", "lmaps.diagnostics.checks"]
    assert run(DAEMON + f"print(*[name for name in {heavy} if name in sys.modules])") == []


def test_the_command_line_alone_is_loaded_without_the_store():
    heavy = ["sqlalchemy", "asyncio", "email", "importlib.metadata", "lmaps.manager", "lmaps.handlers"]
    assert run(LOAD + f"print(*[name for name in {heavy} if name in sys.modules])") == []


def test_plain_units_and_documents_do_without_jsonschema():
    code = """
from lmaps.model.units import load_units_from
text = "meta: {name: web}\\nparams: {properties: {port: {type: integer, default: 80}, key: {x-lmaps-secret: true}}}"
web = load_units_from([("web.yaml", text)]).units["web"]
print(web.complete({"key": "a"}), web.secrets.masked({"key": "a"}), "jsonschema" in sys.modules)
"""
    assert " ".join(run(DAEMON + code)) == "{'key': 'a', 'port': 80} {'key': {'$secret': 'set'}} False"
