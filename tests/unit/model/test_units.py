import pytest

from lmaps.config.load import load_config
from lmaps.errors import NotFound, UnitRefused, ValidationFailed
from lmaps.model.units import (
    Unit,
    get_unit_by_name,
    load_units,
    load_units_from,
    parse_unit,
    property_rows,
    short_id,
    unit_from_definition,
)
from lmaps.model.units.parse import FORM
from lmaps.util import yamlio

WEB = """\
meta: {name: web, data_type: YamlKeyList, store_key: vhosts, primary_key: host, strict: true}
handler: {type: command, name: write them, args: {argv: [cat]}}
params:
  type: object
  required: [host]
  properties:
    host: {type: string, format: hostname, description: The name.}
    port: {type: integer, minimum: 1, default: 80}
    limits:
      type: object
      properties: {rate: {$ref: '#/$defs/rate'}}
    aliases: {type: array, items: {type: object, properties: {name: {type: string}}}}
  $defs: {rate: {type: number, default: 1.5}}
"""


def unit(text) -> Unit:
    return parse_unit(yamlio.load(text, file="web.yaml", aliases=True)[0])


def test_a_unit():
    web = unit(WEB)
    assert (web.name, web.data_type, web.store_key, web.primary_key) == ("web", "YamlKeyList", "vhosts", "host")
    assert (web.handler, web.args, web.label) == ("command", {"argv": ["cat"]}, "write them")
    assert web.complete({"host": "a"}) == {"host": "a", "port": 80}
    assert web.identify({"host": "a", "port": 80}) == "a"
    with pytest.raises(ValidationFailed):
        web.complete({"host": "a", "prot": 1})


def test_the_least_unit():
    least = unit("meta: {name: least}")
    assert (least.data_type, least.store_key, least.handler, least.params) == ("YamlList", "root", "noop", {})
    key = least.identify({"a": 1})
    assert len(key) == 64
    assert least.identify({"a": 1}) == key != least.identify({"a": 1.0})
    assert short_id(key) == key[:8]
    assert short_id("www.example.org") == "www.example.org"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ("{type: object, additionalProperties: false, properties: 5}", "5 is not an object"),
        ("{type: object, additionalProperties: false, properties: [[]]}", "is not an object"),
        ("{properties: {a: {pattern: 'a{99999999999}'}}}", "is not a valid regex"),
    ],
)
def test_a_bad_schema_is_refused_and_the_others_serve(params, words):
    found = load_units_from([("a.yaml", f"meta: {{name: a}}\nparams: {params}"), ("b.yaml", "meta: {name: b}")])
    assert list(found.units) == ["b"]
    [refused] = found.errors
    assert words in str(refused.errors)


def test_an_integer_names_the_same_instance_however_it_is_written():
    numbered = unit("{meta: {name: a, primary_key: n}, params: {required: [n], properties: {n: {type: integer}}}}")
    assert [numbered.identify(numbered.complete({"n": n})) for n in (7, 7.0, -7e2)] == ["7", "7", "-700"]


def test_params_under_handler_as_the_original_had_it():
    original = unit("meta: {name: a}\nhandler: {type: noop, params: {properties: {x: {default: 1}}}}")
    assert original.complete({}) == {"x": 1}
    assert original.params_at == ("handler", "params")


def test_a_stored_definition_is_the_same_unit():
    web = unit(WEB)
    again = unit_from_definition(web.definition)
    assert again.digest == web.digest
    assert again.complete({"host": "a"}) == web.complete({"host": "a"})


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("{}", "1:1", "meta is missing"),
        ("meta: {}", "1:7", "name is missing"),
        ("meta: {name: ../etc}", "1:14", "is not a valid name"),
        *(
            (f"meta: {{name: {name}}}", "1:14", "is not a valid name")
            for name in ('"a\\nb"', "a b", "ä", "a/b", "-a", "a" * 65)
        ),
        ("meta: {name: a, data_typ: YamlList}", "1:17", "did you mean data_type?"),
        ("meta: {name: a, data_type: Yaml}", "1:28", "is not one of"),
        ("meta: {name: a, primary_key: id}", "1:30", "not a property of params"),
        ("meta: {name: a, primary_key: id}\nparams: {properties: {id: {type: array}}}", "1:30", "string or integer"),
        ("meta: {name: a, primary_key: id}\nparams: {properties: {id: {type: string}}}", "1:30", "to be required"),
        ("meta: {name: a}\nparams: {type: strin}", "2:16", "is not one of|none of the forms|'strin'"),
        ("meta: {name: a}\nparams: {$ref: 'http://x/y'}", "2:16", "nothing is ever fetched"),
        ("meta: {name: a}\nparams: {$ref: '#/nope'}", "2:16", "there is nothing there"),
        ("meta: {name: a}\nparams: {pattern: '('}", "2:19", "regex|compile"),
        ("meta: {name: a}\nparams: {properties: {b: {type: integer, default: x}}}", "2:51", "the default does not fit"),
        ("meta: {name: a}\nparams: {$schema: 'urn:x'}", "2:19", "unknown \\$schema"),
        ("meta: {name: a}\nparams: {minimum: 1, exclusiveMinimum: true}", "2:40", "looks like draft 4"),
        ("meta: {name: a}\nhandler: {params: {}}\nparams: {}", "2:11", "params is given twice"),
    ],
)
def test_a_bad_unit_is_refused_with_its_place(text, place, words):
    with pytest.raises(UnitRefused) as refused:
        unit(text)
    finding = refused.value.errors[0]
    assert finding.place == f"web.yaml:{place}"
    assert __import__("re").search(words, finding.message)


def test_keys_of_later_versions_are_accepted():
    unit(
        "meta: {name: a, require: [message], unique: [/port], max_instances: 9, keep: {count: 3, age: 7d}}\n"
        "handler: {lock: [apt], timeout: 5m, idle_timeout: 1m, probe: ['true'], on_interrupt: rerun}"
    )


def test_units_of_a_configuration_a_broken_one_alone_is_refused(tmp_path):
    (tmp_path / "units.d").mkdir()
    (tmp_path / "units.d/1.yaml").write_text(WEB + "---\nmeta: {name: other}\n")
    (tmp_path / "units.d/2.yml").write_text("meta: {name: web}\n")
    (tmp_path / "units.d/3.json").write_text('{"meta": {"name": "json"}}')
    (tmp_path / "units.d/4.yaml").write_text("a: [")
    (tmp_path / "units.d/notes.txt").write_text("not looked at")
    (tmp_path / "lmaps.yaml").write_text(
        "units:\n- meta: {name: own}\n- meta: {nam: bad}\nunit_dirs: [units.d, gone]\n"
    )
    found = load_units(load_config(str(tmp_path / "lmaps.yaml")))
    assert list(found.units) == ["own", "web", "other", "json"]
    told = {error.errors[0].place.removeprefix(f"{tmp_path}/"): error.errors[0].message for error in found.errors}
    assert "twice; first at" in told.pop("units.d/2.yml:1:14")
    assert told.keys() == {"lmaps.yaml:3:9", "units.d/4.yaml:2:1", "gone"} or "lmaps.yaml:3:3" in told


def test_unknown_keywords_are_warnings():
    found = load_units_from([("a.yaml", "meta: {name: a}\nparams: {propertys: {}, x-own: 1}")])
    [warning] = found.warnings
    assert warning.place == "a.yaml:2:10"
    assert "did you mean properties?" in warning.message


def test_every_key_of_the_form_can_be_read():
    keep = {"count": 3, "age": "7d"}
    meta = {
        "name": "web", "data_type": "YamlList", "store_key": "root", "store_root": "/srv", "primary_key": "host",
        "strict": True, "require": ["ticket"], "unique": ["/host"], "max_instances": 5, "keep": keep,
    }  # fmt: skip
    handler = {
        "type": "command", "args": {}, "name": "write", "params": {}, "lock": ["dns"], "timeout": "5m",
        "idle_timeout": "1m", "probe": ["true"], "on_interrupt": "rerun",
    }  # fmt: skip
    sections = FORM.definition["properties"]
    assert sections["meta"]["properties"].keys() == meta.keys()
    assert sections["meta"]["properties"]["keep"]["properties"].keys() == keep.keys()
    assert sections["handler"]["properties"].keys() == handler.keys()
    complete = unit_from_definition({"meta": meta, "handler": handler})
    assert (complete.keep_count, complete.keep_age, complete.max_instances) == (3, 7 * 86400.0, 5)
    assert (complete.label, complete.timeout, complete.idle_timeout) == ("write", 300.0, 60.0)
    assert (complete.probe, complete.reruns, complete.locks) == (("true",), True, ("dns",))


def test_a_property_is_secret_wherever_the_mark_stands():
    mark = "{writeOnly: true}"
    text = f"""
meta: {{name: a}}
params:
  properties: {{plain: {{}}, own: {mark}, branch: {{}}, list: {{items: {{properties: {{below: {{}}}}}}}}, whole: {{properties: {{part: {{}}}}}}}}
  oneOf: [{{properties: {{branch: {mark}}}}}]
  allOf:
  - properties: {{list: {{contains: {{properties: {{below: {mark}}}}}}}, whole: {mark}}}
"""
    secret = {row.path for row in property_rows(unit(text)) if row.secret}
    assert secret == {"own", "branch", "list[].below", "whole", "whole.part"}


def test_rows_of_properties():
    rows = {row.path: row.to_json() for row in property_rows(unit(WEB))}
    assert list(rows) == ["host", "port", "limits", "limits.rate", "aliases", "aliases[].name"]
    assert rows["host"] == {
        "path": "host",
        "type": "string",
        "required": True,
        "limits": "a valid hostname",
        "description": "The name.",
    }
    assert rows["limits.rate"]["default"] == 1.5
    assert [row.path for row in property_rows(unit(WEB), "limits")] == ["limits", "limits.rate"]
    with pytest.raises(NotFound, match="did you mean port?"):
        property_rows(unit(WEB), "prot")


def test_a_unit_by_its_name(tmp_path):
    (tmp_path / "lmaps.yaml").write_text("units:\n- meta: {name: own}\n  params: {properties: {x: {default: 1}}}\n")
    loaded = load_config(str(tmp_path / "lmaps.yaml"))
    own = get_unit_by_name("own", loaded)
    assert own.complete({}) == unit_from_definition(own.definition).complete({}) == {"x": 1}
    with pytest.raises(NotFound, match="did you mean own?"):
        get_unit_by_name("owm", loaded)


@pytest.mark.parametrize(
    "params",
    [
        "{properties: {id: {type: string, writeOnly: true}}, required: [id]}",
        "{properties: {id: {type: string}}, required: [id], patternProperties: {i: {x-lmaps-secret: true}}}",
        "{properties: {id: {type: string}}, required: [id], allOf: [{properties: {id: {writeOnly: true}}}]}",
        "{properties: {id: {type: string}}, required: [id], if: {}, else: {properties: {id: {writeOnly: true}}}}",
    ],
)
def test_a_primary_key_is_no_secret(params):
    with pytest.raises(UnitRefused) as refused:
        parse_unit(yamlio.load(f"meta: {{name: a, primary_key: id}}\nparams: {params}\n")[0])
    [finding] = refused.value.errors
    assert finding.message == "the primary key id cannot be a secret: it names the instance"
    assert finding.line == 1
