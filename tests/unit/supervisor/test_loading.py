import asyncio
import importlib.metadata
import subprocess
import sys
from importlib import import_module

from lmaps.supervisor import loading

ASKING = """
import sys
from lmaps.supervisor.loading import loaded
loaded("lmaps.cli.lmapsd")
"""


def run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", ASKING + code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_daemon_is_loaded_without_what_it_never_uses():
    heavy = [
        "asyncio",
        "ssl",
        "importlib.metadata",
        "email",
        "alembic",
        "sqlalchemy.orm",
        "jsonschema",
        "attr",
        "lmaps.client",
    ]
    assert run(f"print(*[name for name in {heavy} if name in sys.modules])") == []


def test_plain_units_and_documents_do_without_jsonschema():
    code = """
from lmaps.model.units import load_units_from
text = "meta: {name: web}\\nparams: {properties: {port: {type: integer, default: 80}, key: {x-lmaps-secret: true}}}"
web = load_units_from([("web.yaml", text)]).units["web"]
print(web.complete({"key": "a"}), web.secrets.masked({"key": "a"}), "jsonschema" in sys.modules)
"""
    assert " ".join(run(code)) == "{'key': 'a', 'port': 80} {'key': {'$secret': 'set'}} False"


def test_what_was_put_off_is_there_when_it_is_used():
    told = "compat.asyncio.CancelledError.__name__, *('lmaps' for each in [compat.importlib_metadata.version('lmaps')])"
    assert run(f"from sqlalchemy.util import compat; print({told}, 'asyncio' in sys.modules)") == [
        "CancelledError", "lmaps", "True",
    ]  # fmt: skip
    assert run("from sqlalchemy.dialects import sqlite; print(sqlite.aiosqlite.dialect.driver)") == ["aiosqlite"]
    assert run("import tempfile; print(tempfile.gettempprefix())") == ["tmp"]
    assert run("import asyncio; print(asyncio.run(asyncio.sleep(0, 'slept')))") == ["slept"]
    assert run("import importlib.metadata as metadata; print(metadata.PackageNotFoundError.__name__)") == [
        "PackageNotFoundError"
    ]


def test_digests_are_made_without_openssl_which_others_may_import():
    told = "hashlib.sha256(b'x').hexdigest()[:8], '_hashlib' in sys.modules"
    assert run(f"import hashlib; print({told}); import ssl, _hashlib; print('_hashlib' in sys.modules)") == [
        "2d711642", "False", "True",
    ]  # fmt: skip


def test_a_python_without_digests_of_its_own_keeps_openssl():
    code = "import sys; sys.modules['_md5'] = None\n" + ASKING + "print('_hashlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_what_is_there_already_stays():
    loading.loaded("lmaps.cli.lmapsd")
    assert sys.modules["asyncio"] is asyncio
    assert sys.modules["importlib.metadata"] is importlib.metadata
    assert import_module("asyncio").run is asyncio.run
