import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator, ValidationError

from lmaps import config
from lmaps.config import client, paths
from lmaps.config.load import load_config
from lmaps.config.settings import Config
from lmaps.errors import ConfigError
from lmaps.model.schema.full import extend_with_default

TRUSTED = frozenset({os.getuid(), 0})
ORIGINAL = """\
rpc:
  manager_bind: ipc:///tmp/lmaps-manager
  worker_bind: ipc:///tmp/lmaps-worker
  timeout: 300
units:
- meta: {name: site, data_type: YamlKeyList, store_key: sites, store_root: /var/lib/lmaps/site}
  handler:
    type: ansible_playbook
    name: A site
    args: {playbook: site.yml}
    params: {type: object, properties: {name: {type: string}}}
"""
DEFAULT_LIMITS = {
    "connections": 64,
    "in_flight": 16,
    "jobs": 64,
    "queue": 1000,
    "depth": 32,
    "string": 262_144,
    "reply": 64 * 1024 * 1024,
    "message": {"bytes": 1024 * 1024, "values": 20_000, "documents": 10_000, "validation": 2.0},
    "import": {"bytes": 16 * 1024 * 1024, "values": 400_000, "documents": 100_000, "validation": 8.0},
}


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def refused(text, path):
    with pytest.raises(ConfigError) as error:
        load_config(write(path, text))
    return error.value


def test_the_working_directory_comes_first(own_home, tmp_path, monkeypatch):
    assert config.find_config_file() is None
    monkeypatch.chdir(tmp_path)
    user = write(own_home / ".config" / ".lmaps.yaml", "")
    assert config.find_config_file() == user
    home = write(own_home / ".lmaps", "")
    assert config.find_config_file() == home
    named = write(own_home / "lmaps.yaml", "")
    assert config.find_config_file() == named
    here = write(tmp_path / ".lmaps.yaml", "")
    assert config.find_config_file() == here


def everybody_may_write(file):
    file.chmod(0o666)


def everybody_may_replace(file):
    file.parent.chmod(0o777)


def a_link_to_a_file_that_everybody_may_write(file):
    target = file.parent / "elsewhere"
    file.rename(target)
    target.chmod(0o666)
    file.symlink_to(target)


def another_user_owns_it(file):
    os.chown(file, 65534, -1)


def another_user_owns_the_directory(file):
    os.chown(file.parent, 65534, -1)


FAULTS = [everybody_may_write, everybody_may_replace, a_link_to_a_file_that_everybody_may_write]
OF_OTHERS = [another_user_owns_it, another_user_owns_the_directory] if os.getuid() == 0 else []


@pytest.mark.parametrize("fault", [*FAULTS, *OF_OTHERS], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("name", paths.NAMES)
def test_a_client_passes_over_a_file_that_others_may_write(own_home, tmp_path, monkeypatch, fault, name):
    said: list[str] = []
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    file = Path(write(here / name, ""))
    home = write(own_home / "lmaps.yaml", "")
    assert (config.find_trusted_file(said.append), said) == (str(file), [])
    fault(file)
    assert config.find_trusted_file(said.append) == home
    [message] = said
    assert message.startswith(f"{file} is not used: ") and message.endswith(f"--config {file}"), message
    Path(home).chmod(0o666)
    assert config.find_trusted_file(said.append) is None


def test_a_file_that_comes_and_goes_is_not_used(own_home, monkeypatch):
    said: list[str] = []
    file = str(own_home / "lmaps.yaml")
    monkeypatch.setattr(client, "config_files", lambda: iter([file]))  # it was there a moment ago
    assert config.find_trusted_file(said.append) is None
    assert said == [f"{file} is not used: it is gone; to use it all the same: --config {file}"]


def test_whom_the_daemon_becomes_is_trusted_without_a_word_in_the_file(tmp_path, monkeypatch):
    nobody = pwd.getpwnam("nobody")
    monkeypatch.setattr(pwd, "getpwnam", {"lmaps": nobody}.__getitem__)
    assert config.client_settings(None).trusted_uids == TRUSTED | {nobody.pw_uid}
    file = write(tmp_path / "lmaps.yaml", "rpc: {manager_bind: ipc:///run/lmaps/manager.sock}\n")
    assert config.client_settings(file).trusted_uids == TRUSTED | {nobody.pw_uid}


def test_the_user_of_the_daemon_is_trusted(tmp_path):
    file = write(tmp_path / "lmaps.yaml", "user: nobody\n")
    assert config.client_settings(file).trusted_uids == TRUSTED | {pwd.getpwnam("nobody").pw_uid}
    file = write(tmp_path / "lmaps.yaml", "user: there-is-no-such-user\n")
    assert config.client_settings(file).trusted_uids == TRUSTED


def test_without_configuration_every_key_has_its_default():
    loaded = load_config()
    paths = config.default_paths(os.getuid(), os.environ)
    assert loaded.to_dict() == {
        "file": None,
        "uid": os.getuid(),
        "document": None,
        "rpc": {
            "manager_bind": [f"ipc://{paths.manager_socket}"],
            "worker_bind": f"ipc://{paths.worker_socket}",
            "server_key": str(Path.cwd() / "server.key"),
            "authorized_keys": str(Path.cwd() / "authorized_keys.d"),
            "client_key": "~/.config/lmaps/client.key",
            "server_public_key": "~/.config/lmaps/server.pub",
            "timeout": 30.0,
        },
        "workers": 2,
        "db": paths.db,
        "units": [],
        "unit_dirs": [],
        "plugin_dirs": [],
        "state_key": None,
        "policy": None,
        "user": None,
        "group": None,
        "limits": DEFAULT_LIMITS,
        "log": {"level": "info", "format": "text"},
    }


def test_a_configuration_becomes_a_dict_and_back(tmp_path):
    text = "rpc: {timeout: 2m}\nstate_key: k\nlimits: {import: {validation: 3}}\nunits: [{meta: {name: a}}]\n"
    loaded = load_config(write(tmp_path / "lmaps.yaml", text))
    assert Config.of(loaded.to_dict()) == Config.of(loaded) == loaded


def test_default_paths_of_root_and_of_others():
    assert config.default_paths(0, {}).db == "/var/lib/lmaps/lmaps.db"
    assert config.default_paths(0, {}).manager_socket == "/run/lmaps/manager.sock"
    assert config.default_paths(7, {"HOME": "/h"}) == (
        "/h/.local/state/lmaps/lmaps.db",
        "/h/.local/state/lmaps/manager.sock",
        "/h/.local/state/lmaps/internal.sock",
    )
    environ = {"HOME": "/h", "XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/r"}
    assert config.default_paths(7, environ) == ("/s/lmaps/lmaps.db", "/r/lmaps/manager.sock", "/r/lmaps/internal.sock")


def test_the_users_own_daemon_is_asked_before_the_systems(tmp_path):
    environ = {"HOME": str(tmp_path)}
    assert config.default_endpoint(7, environ) == "ipc:///run/lmaps/manager.sock"
    socket = tmp_path / ".local/state/lmaps/manager.sock"
    write(socket, "")
    assert config.default_endpoint(7, environ) == f"ipc://{socket}"


def test_a_configuration_of_the_original_loads(tmp_path):
    loaded = load_config(write(tmp_path / "lmaps.yaml", ORIGINAL))
    assert loaded.rpc.to_dict() == {
        "manager_bind": ["ipc:///tmp/lmaps-manager"],
        "worker_bind": "ipc:///tmp/lmaps-worker",
        "server_key": f"{tmp_path}/server.key",
        "authorized_keys": f"{tmp_path}/authorized_keys.d",
        "client_key": "~/.config/lmaps/client.key",
        "server_public_key": "~/.config/lmaps/server.pub",
        "timeout": 300.0,
    }
    assert len(loaded.units) == 1


def test_the_originals_timeout_gets_its_cure(tmp_path):
    error = refused("rpc:\n  timeout: 5*60\n", tmp_path / "lmaps.yaml")
    [finding] = error.errors
    assert finding.place == f"{tmp_path}/lmaps.yaml:2:12"
    assert "5m for five minutes" in finding.message


def test_a_client_takes_the_unix_socket_and_the_keys(tmp_path):
    text = "rpc: {manager_bind: ['tcp://10.0.0.1:7733', 'ipc://m.sock'], client_key: c.key, server_public_key: s.pub}\n"
    settings = config.client_settings(write(tmp_path / "lmaps.yaml", text))
    assert settings == config.ClientSettings(
        f"ipc://{tmp_path}/m.sock", None, f"{tmp_path}/c.key", f"{tmp_path}/s.pub", TRUSTED
    )
    text = "rpc: {manager_bind: 'tcp://10.0.0.1:7733'}\n"
    settings = config.client_settings(write(tmp_path / "lmaps.yaml", text))
    assert settings == config.ClientSettings("tcp://10.0.0.1:7733", trusted_uids=TRUSTED)


def test_relative_paths_count_from_the_file(tmp_path):
    text = (
        "rpc: {manager_bind: [ipc://m.sock, ipc:///abs.sock], timeout: 2m}\n"
        "db: d/l.db\npolicy: p.yaml\nunit_dirs: [u]\nplugin_dirs: [~/p]\n"
    )
    loaded = load_config(write(tmp_path / "lmaps.yaml", text))
    assert loaded.rpc.manager_bind == [f"ipc://{tmp_path}/m.sock", "ipc:///abs.sock"]
    assert loaded.rpc.timeout == 120
    assert loaded.db == f"{tmp_path}/d/l.db"
    assert loaded.policy == f"{tmp_path}/p.yaml"
    assert loaded.unit_dirs == [f"{tmp_path}/u"]
    assert loaded.plugin_dirs == [str(Path("~/p").expanduser())]


def test_roots_policy_is_found_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(config.paths, "SYSTEM_POLICY", str(tmp_path / "policy.yaml"))
    assert config.default_policy(0) is None
    (tmp_path / "policy.yaml").touch()
    assert config.default_policy(0) == f"{tmp_path}/policy.yaml"
    assert config.default_policy(1000) is None


def test_unit_directories_beside_the_file_and_of_the_user(tmp_path, own_home):
    (tmp_path / "units.d").mkdir()
    loaded = load_config(write(tmp_path / "lmaps.yaml", ""))
    assert loaded.unit_dirs == [f"{tmp_path}/units.d"]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("workerz: 3\n", "1:1", "did you mean workers?"),
        ("workers: 0\n", "1:10", "less than 1"),
        ("workers: many\n", "1:10", "not an integer"),
        ("log: {level: loud}\n", "1:14", "not one of"),
        ("rpc: {manager_bind: []}\n", "1:21", "at least 1"),
        ("units: {a: 1}\n", "1:8", "not an array"),
        ("a: b: c\n", "1:5", ""),
        ("- 1\n", "1:1", "not an object"),
    ],
)
def test_errors_have_their_place(tmp_path, text, place, words):
    error = refused(text, tmp_path / "lmaps.yaml")
    assert error.daemon_level == 78
    assert error.errors[0].place == f"{tmp_path}/lmaps.yaml:{place}"
    assert words in error.errors[0].message


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        load_config(str(tmp_path / "missing.yaml"))
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(str(tmp_path))
    with pytest.raises(ConfigError, match="2 documents"):
        load_config(write(tmp_path / "two.yaml", "a: 1\n---\nb: 2\n"))


def test_a_client_reads_its_own_keys_alone(tmp_path):
    text = "rpc: {manager_bind: ipc://m.sock, timeout: 5s}\nworkers: not looked at\n"
    settings = config.client_settings(write(tmp_path / "lmaps.yaml", text))
    assert settings == config.ClientSettings(f"ipc://{tmp_path}/m.sock", 5.0, trusted_uids=TRUSTED)
    assert config.client_settings(None) == config.ClientSettings(trusted_uids=TRUSTED)
    with pytest.raises(ConfigError):
        config.client_settings(write(tmp_path / "bad.yaml", "rpc: {timeout: soon}\n"))


@pytest.mark.parametrize("kind", [Draft7Validator, Draft202012Validator])
def test_extend_with_default_mixes_in_defaults(kind):
    validator = extend_with_default(kind)(
        {
            "properties": {
                "a": {"type": "integer", "default": 1},
                "b": {"oneOf": [{"properties": {"c": {"default": 2}}}]},
            }
        }
    )
    document: dict[str, Any] = {"b": {}}
    validator.validate(document)
    assert document == {"a": 1, "b": {"c": 2}}
    assert not validator.is_valid({"a": "x"})
    with pytest.raises(ValidationError):
        validator.validate({"a": "x"})


@settings(max_examples=500)
@given(st.text("ab/.~ ", max_size=8), st.text("ab/.", max_size=6).map("/{}".format))
def test_paths_are_as_pathlib_writes_them(name, base):
    try:
        wanted = str(base / Path(name).expanduser())
    except RuntimeError:
        with pytest.raises(ConfigError, match="there is no such home directory"):
            paths.absolute(name, base)
    else:
        assert paths.absolute(name, base) == wanted
        assert paths.directory(name or None) == str(Path(name).absolute().parent if name else Path.cwd())
