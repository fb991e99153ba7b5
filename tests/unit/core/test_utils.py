from pathlib import Path

import pytest

from lmaps.config.load import load_config
from lmaps.core.data import YamlKeyDict
from lmaps.core.utils import (
    OpenThread,
    Threader,
    client_message,
    get_data_type_by_name,
    get_unit_by_name,
    validate_unit_instance,
)
from lmaps.errors import NotFound
from tests.daemons import WEB, until

COMPLETED = {"host": "a", "port": 80, "tls": False}


@pytest.fixture
def found(own_home: Path) -> Path:
    """The configuration that is found, with the unit web."""
    (own_home / "units.d").mkdir()
    (own_home / "units.d" / "web.yaml").write_text(WEB)
    (own_home / "lmaps.yaml").write_text("db: lmaps.db\n")
    return own_home


def test_the_envelope() -> None:
    assert client_message("done")["extra"] is not client_message("done")["extra"]
    envelope = client_message("failed", 3, {"why": "x"})
    assert (envelope["message"], envelope["level"], envelope["extra"]) == ("failed", 3, {"why": "x"})
    assert (client_message("done")["level"], client_message("done")["extra"]) == (0, {})


def test_a_unit_is_the_dict_of_its_file(found: Path) -> None:
    unit = get_unit_by_name("web")
    assert type(unit) is dict
    assert unit["meta"] == {
        "name": "web", "data_type": "YamlKeyList", "store_key": "vhosts", "primary_key": "host", "strict": True,
    }  # fmt: skip
    assert unit["params"]["required"] == ["host"]
    with pytest.raises(NotFound, match="did you mean web?"):
        get_unit_by_name("wed")


def test_a_unit_of_a_given_configuration(tmp_path: Path) -> None:
    (tmp_path / "lmaps.yaml").write_text("units: [{meta: {name: own}}]\n")
    config = load_config(str(tmp_path / "lmaps.yaml"))
    assert get_unit_by_name("own", config) == {"meta": {"name": "own"}}
    with pytest.raises(NotFound):
        get_unit_by_name("own")


def test_an_instance_is_returned_with_its_defaults(found: Path) -> None:
    instance = {"host": "a"}
    assert validate_unit_instance(instance, get_unit_by_name("web")) == COMPLETED
    assert instance == {"host": "a"}


@pytest.mark.parametrize(
    ("instance", "places"),
    [
        ({"host": "a", "port": 0}, ["$.port"]),
        ({"port": "x", "tls": 1}, ["$", "$.port", "$.tls"]),
        ([], ["$"]),
        (None, ["$"]),
    ],
)
def test_an_instance_that_is_not_valid_gives_what_and_why(found: Path, instance: object, places: list[str]) -> None:
    refusal = validate_unit_instance(instance, get_unit_by_name("web"))  # type: ignore[arg-type]
    assert refusal["level"] == 3
    assert "cannot accept the document" in refusal["message"]
    errors = refusal["extra"]["errors"]
    assert sorted({error["path"] for error in errors}) == places
    assert all(error["message"] for error in errors)


@pytest.mark.parametrize("unit", [{}, {"meta": {}}, {"meta": {"name": "a"}, "params": {"type": "strng"}}, None, []])
def test_a_unit_that_is_none_is_an_error_too(unit: object) -> None:
    refusal = validate_unit_instance({}, unit)  # type: ignore[arg-type]
    assert refusal["level"] == 3
    assert refusal["extra"]["errors"]


def test_a_data_type_by_its_name() -> None:
    assert get_data_type_by_name("YamlKeyDict") is YamlKeyDict
    with pytest.raises(NotFound, match="did you mean YamlList?"):
        get_data_type_by_name("YamlLst")


class Loop:
    """Turns until it is told to end."""

    def __init__(self) -> None:
        self.turns = 0

    def __call__(self, *args: int) -> None:
        self.args = args
        while True:
            self.turns += 1


def test_a_threader_ends_with_its_block() -> None:
    loop = Loop()
    threader = Threader(loop, [1, 2])
    assert (threader.method, threader.args, threader.thread) == (loop, [1, 2], None)
    assert threader.isAlive() is False
    with threader:
        until(lambda: loop.turns)
        assert threader.isAlive()
        assert loop.args == (1, 2)
    assert not threader.isAlive()


def test_an_open_thread_goes_on_until_it_is_stopped() -> None:
    loop = Loop()
    with OpenThread(loop) as opened:
        until(lambda: loop.turns)
    assert opened.isAlive()
    assert opened.start() is True
    assert opened.stop() is True
    assert not opened.isAlive()
