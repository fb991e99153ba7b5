import pytest

from lmaps.util.text import nearest, plural


@pytest.mark.parametrize(
    ("word", "near"), [("prot", "port"), ("PORT", "port"), ("hots", "host"), ("zzz", None), ("", None)]
)
def test_nearest(word, near):
    assert nearest(word, ["host", "port", "tls"]) == near


def test_plural():
    assert [plural(count, "unit") for count in (0, 1, 2, 10_000)] == ["0 units", "1 unit", "2 units", "10,000 units"]
    assert plural(2, "property", "properties") == "2 properties"
