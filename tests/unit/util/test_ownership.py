import os

import pytest

from lmaps.config.load import load_config
from lmaps.config.policy import load_policy
from lmaps.errors import ConfigError
from lmaps.handlers import find_handlers
from lmaps.model.units import load_units
from lmaps.transport.curve import read_authorized_keys, read_server_keys
from lmaps.util import ownership
from lmaps.util.ownership import check_owned, ownership_fault
from tests.remote import Remote

ME = os.getuid()
OTHER = 65534
as_root = pytest.mark.skipif(ME != 0, reason="only root can give files away")


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "one" / "two" / "file"
    made.parent.mkdir(parents=True)
    made.write_text("x")
    made.chmod(0o644)
    return made


def test_what_nobody_else_may_write_is_fine(file):
    assert ownership_fault(file, ME) is None
    check_owned(str(file), ME, "the file")


def test_a_file_that_is_gone_may_come_back(file):
    gone = file.with_name("nothing")
    assert ownership_fault(gone, ME) == "it is gone"
    with pytest.raises(ConfigError, match=f"cannot use the policy {gone}: it is gone"):
        check_owned(gone, ME, "the policy")


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_what_everybody_may_write_is_not(file, levels):
    step = [file, *file.parents][levels]
    step.chmod(0o777)
    assert ownership_fault(file, ME) == f"everybody may write {step}; chmod o-w {step}"
    with pytest.raises(ConfigError, match=f"cannot use the policy {file}: everybody may write {step}"):
        check_owned(file, ME, "the policy")


def test_a_sticky_directory_is_fine_for_what_is_ones_own(file):
    file.parent.chmod(0o1777)
    assert ownership_fault(file, ME) is None


@as_root
@pytest.mark.parametrize("levels", [0, 1, 2])
def test_what_belongs_to_another_user_is_not(file, levels):
    step = [file, *file.parents][levels]
    os.chown(step, OTHER, -1)
    assert ownership_fault(file, ME) == f"{step} belongs to nobody; chown root {step}"
    assert ownership_fault(file, OTHER) is None, "unless it is that user's daemon"


@as_root
def test_a_group_may_write_only_if_it_is_the_owners_own(file):
    file.chmod(0o664)
    assert ownership_fault(file, ME) is None
    os.chown(file, 0, OTHER)
    assert ownership_fault(file, ME) == f"a group may write {file}; chmod g-w {file}"
    os.chown(file, 0, 4_000_000)
    assert ownership_fault(file, ME) == f"a group may write {file}; chmod g-w {file}"


def test_a_link_counts_with_what_it_leads_over(file, tmp_path):
    loose = tmp_path / "loose"
    loose.mkdir()
    (loose / "second").symlink_to("../one/two/file")
    (tmp_path / "first").symlink_to(loose / "second")
    assert ownership_fault(tmp_path / "first", ME) is None
    loose.chmod(0o777)
    assert "loose; chmod o-w" in (ownership_fault(tmp_path / "first", ME) or "")
    assert ownership_fault(file, ME) is None


@as_root
def test_the_owner_of_a_link_counts(file, tmp_path):
    (tmp_path / "link").symlink_to(file)
    os.chown(tmp_path / "link", OTHER, -1, follow_symlinks=False)
    assert ownership_fault(tmp_path / "link", ME) == f"{tmp_path}/link belongs to nobody; chown root {tmp_path}/link"


def test_links_that_lead_nowhere_are_gone(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert ownership_fault(tmp_path / "a", ME) == "it is gone"
    assert ownership.MAX_LINKS == 40


def test_policy_keys_units_and_plugins_are_looked_at(tmp_path):
    remote = Remote(tmp_path)
    remote.make_client("one")
    (tmp_path / "policy.yaml").touch()
    (tmp_path / "units").mkdir()
    for name in ("good", "bad"):
        (tmp_path / "units" / f"{name}.yaml").write_text(f"meta: {{name: {name}}}\n")
    (tmp_path / "plugin.py").write_text("raise RuntimeError('ran')\n")
    (tmp_path / "lmaps.yaml").write_text("unit_dirs: [units]\n")
    config = load_config(str(tmp_path / "lmaps.yaml"))
    assert list(load_units(config).units) == ["bad", "good"]
    for path in ("policy.yaml", "authorized_keys.d/one.pub", "units/bad.yaml", "plugin.py"):
        (tmp_path / path).chmod(0o666)
    with pytest.raises(ConfigError, match=r"cannot use the policy .*everybody may write"):
        load_policy(str(tmp_path / "policy.yaml"), ME)
    with pytest.raises(ConfigError) as refused:
        read_authorized_keys(str(remote.authorized))
    assert "everybody may write" in refused.value.errors[0].message
    units = load_units(config)
    assert list(units.units) == ["good"]
    assert [finding.place for finding in units.errors[0].errors] == [f"{tmp_path}/units/bad.yaml"]
    found = find_handlers([str(tmp_path)]).entries["plugin"]
    assert "everybody may write" in (found.error or "")
    (tmp_path / "server.key").chmod(0o602)
    with pytest.raises(ConfigError, match="server.key: others can read it"):
        read_server_keys(str(remote.rpc["server_key"]), str(remote.authorized))
    (tmp_path / "server.key").chmod(0o600)
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match=f"server.key: everybody may write {tmp_path}"):
        read_server_keys(str(remote.rpc["server_key"]), str(remote.authorized))
