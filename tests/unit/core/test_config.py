from pathlib import Path

from jsonschema import Draft202012Validator

from lmaps.core.config import extend_with_default, find_config_file, load_config


def test_a_validator_mixes_defaults_in() -> None:
    instance: dict[str, int] = {}
    extend_with_default(Draft202012Validator)({"properties": {"port": {"default": 80}}}).validate(instance)
    assert instance == {"port": 80}


def test_the_configuration_is_found_and_loaded_as_a_dict(own_home: Path) -> None:
    assert find_config_file() is None
    assert load_config()["file"] is None
    file = own_home / "lmaps.yaml"
    file.write_text("workers: 3\n")
    assert find_config_file() == str(file)
    assert (load_config()["workers"], load_config()["file"]) == (3, str(file))
    assert type(load_config(str(file))) is dict
