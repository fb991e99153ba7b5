from lmaps.errors import ConfigError, Finding
from lmaps.supervisor.report import describe, print_error


def test_an_error_is_told_with_its_findings_and_the_next_step(capsys):
    finding = Finding("unknown property", ("rpc", "tiemout"), file="lmaps.yaml", line=3, column=5)
    print_error(ConfigError("cannot use the configuration", errors=[finding], hint="see the reference"))
    assert capsys.readouterr().err.splitlines() == [
        "lmapsd: cannot use the configuration",
        "  lmaps.yaml:3:5  $.rpc.tiemout  unknown property",
        "  see the reference",
    ]


def test_a_finding_shows_only_what_is_known():
    assert describe(Finding("cannot be read")) == "cannot be read"
    assert describe(Finding("broken", file="u.yaml", line=1)) == "u.yaml:1  broken"
