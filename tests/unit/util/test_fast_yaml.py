import json
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmaps.util import fast_yaml, yamlio

TEXTS = st.text(st.characters(codec="utf-8")) | st.text("abyesnoNULLtrue/:._-+=,@ #'\"0123456789\n", max_size=120)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS | st.sampled_from(["yes", "No", "10.0.0.1", "/var/www", "a: b", "a:b", "a - b", "x" * 130, "ab " * 50]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(VALUES, min_size=1))
@example([{"host": "h0.example.org", "port": 80, "tls": False, "none": None, "weight": 1.5, "l": [], "d": {}}])
@example([[["a", {"b": ["c", [1]]}], []], {"a": {"b": [{"c": 1, "d": [2]}, "e"]}}])
@example(["", "+", "-", "~", {"+": "+", "a": "-"}, ["~", [""]], {"": "", "-": "~"}, {"~": ["-"]}])
@example(["2026-11-23T10:00:02Z", "2026-11-23T10:00:02.123456Z", "2026-11-23T10:00:02+01:00", "2026-11-23"])
@example([{"at": "2026-11-23T10:00:02.5Z", "l": ["9999-99-99T99:99:99Z"], "2026-11-23T10:00:02Z": 1}])
@example(["a=b", "a,", "a:", "a :b", "a #b", "-", "a-", "a.", "=", "<<", "0o7", "1_000", "1e3", ".5", "~", ""])
def test_items_are_what_pyyaml_writes(values):
    assert fast_yaml.items(values) == yamlio.dump(values)


@given(st.dictionaries(TEXTS, VALUES, min_size=1))
def test_a_document_is_what_pyyaml_writes(value):
    assert fast_yaml.dump(value) == yamlio.dump(value)


@pytest.mark.parametrize(("text", "loaded"), [("www.example.org", False), ("it's", True)])
def test_pyyaml_is_loaded_only_for_what_is_not_plain(text, loaded):
    code = f"import sys; from lmaps.util import fast_yaml; fast_yaml.items([{text!r}]); print('yaml' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout.lower()) is loaded
