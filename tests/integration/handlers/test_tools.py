"""The example handlers with the real tools, where they are installed: ``make test-tools``."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lmaps.handlers import find_handlers
from lmaps.testing import Ran, make_unit, run

EXAMPLES = Path(__file__).parents[3] / "examples/handlers"
HANDLERS = find_handlers([str(EXAMPLES)])
SALT = os.environ.get("SALT_CALL") or shutil.which("salt-call")
PUPPET = shutil.which("puppet", path=f"{os.environ['PATH']}:/opt/puppetlabs/bin")

pytestmark = [pytest.mark.tools, pytest.mark.timeout(300)]
Instances = list[dict[str, object]]


def runner(name: str, unit: str, directory: Path) -> Callable[..., Ran]:
    return lambda instances, **options: run(HANDLERS.get(name), make_unit(unit, directory), instances, **options)


@pytest.mark.skipif(SALT is None, reason="salt-call is not installed; SALT_CALL may name it")
def test_salt(tmp_path: Path) -> None:
    (tmp_path / "states").mkdir()
    target = tmp_path / "written"
    (tmp_path / "states/site.sls").write_text(
        f"{target}:\n  file.managed:\n    - contents: {{{{ pillar['root'][0]['text'] | json }}}}\n"
    )
    unit = (
        f"meta: {{name: site}}\nhandler: {{type: salt_call, args: {{states: states, sls: site, program: '{SALT}'}}}}\n"
    )
    salt = runner("salt_call", unit, tmp_path)
    hostile = "{{ 6 * 7 }} and %{x}"
    planned = salt([{"text": hostile}], plan=True)
    assert (planned.succeeded, target.exists()) == (True, False), planned.output
    done = salt([{"text": hostile}])
    assert done.succeeded, done.output
    assert target.read_text() == f"{hostile}\n"
    (tmp_path / "states/site.sls").write_text("broken:\n  test.fail_without_changes\n")
    failed = salt([{"text": "x"}])
    assert (failed.succeeded, failed.rc != 0) == (False, True), failed.output


@pytest.mark.skipif(PUPPET is None, reason="puppet is not installed")
def test_puppet(tmp_path: Path) -> None:
    target = tmp_path / "written"
    manifest = tmp_path / "site.pp"
    manifest.write_text(f"file {{ '{target}': content => lookup('root')[0]['text'] }}\n")
    unit = f"meta: {{name: site}}\nhandler: {{type: puppet_apply, args: {{manifest: site.pp, program: '{PUPPET}'}}}}\n"
    puppet = runner("puppet_apply", unit, tmp_path)
    hostile = "%{facts.os} ${x} <%= 1 %>"
    planned = puppet([{"text": hostile}], plan=True)
    assert (planned.succeeded, target.exists()) == (True, False), planned.output
    done = puppet([{"text": hostile}])
    assert (done.rc, done.summary["changed"], target.read_text()) == (2, 1, hostile), done.output
    assert puppet([{"text": hostile}]).summary["changed"] == 0
    manifest.write_text("file { '/nothing/here/at/all': content => 'x' }\n")
    failed = puppet([{"text": "x"}])
    assert (failed.succeeded, failed.summary["failed"]) == (False, 1), failed.output
