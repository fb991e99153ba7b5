"""Bad unit files: each is refused with its place and its reason, and none of the good ones beside them notices."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lmaps.errors import Finding, ValidationFailed
from tests.daemons import RunningDaemon
from tests.robustness.conftest import cannot

Start = Callable[..., RunningDaemon]
Figure = Callable[[str, str], None]
NOBODY = 65534
GOOD = 5
HEAD = "meta: {name: bad}\n"

TEXTS: dict[str, tuple[str | bytes, str]] = {
    "no-yaml": ("meta: {name: [\n", "did not find expected node content"),
    "no-mapping": ("- meta\n", "not an object"),
    "no-meta": ("params: {type: object}\n", "meta is missing"),
    "no-name": ("meta: {}\n", "name is missing"),
    "path-as-name": ("meta: {name: ../../etc/x}\n", "is not a valid name"),
    "name-of-a-good-one": ("meta: {name: good0}\n", "is given twice"),
    "unknown-key": (f"{HEAD}paramz: {{type: object}}\n", "unknown property; did you mean params?"),
    "unknown-data-type": ("meta: {name: bad, data_type: YamlTree}\n", "did you mean YamlList?"),
    "remote-ref": (f"{HEAD}params: {{$ref: 'http://192.0.2.1/schema.json'}}\n", "nothing is ever fetched"),
    "file-ref": (f"{HEAD}params: {{$ref: 'file:///etc/passwd'}}\n", "nothing is ever fetched"),
    "no-pattern": (f"{HEAD}params: {{properties: {{a: {{pattern: '('}}}}}}\n", "is not a valid regex"),
    "no-type": (f"{HEAD}params: {{type: objekt}}\n", "did you mean object?"),
    "bombs": ("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
              "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n", "it is too large"),
    "brackets": ("[" * 100_000, "exceeded maximum nesting depth"),
    "tag": ("meta: !!python/object/apply:os.system [id]\n", "is not allowed"),
    "twice-a-key": ("meta: {name: bad}\nmeta: {name: worse}\n", "is given twice"),
    "no-utf8": (b"meta: {name: \xff\xfe}\n", "it is not UTF-8"),
}  # fmt: skip
"""Name, text, and what is said."""


def write(path: Path, name: str) -> Path:
    """A unit file that is good, whoever may write it."""
    path.write_text(f"meta: {{name: {name}}}\n")
    path.chmod(0o644)
    return path


def give(path: Path) -> Path:
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    return path


def loose_files(directory: Path) -> dict[Path, str]:
    """Good unit files that somebody else may write, or put others in the place of; with what is said."""
    units, loose, theirs, aside = (directory / name for name in ("units", "loose", "theirs", "aside"))
    for made in (units, loose, theirs, aside):
        made.mkdir(exist_ok=True)
    for_all, for_group, foreign = (write(units / f"{name}.yaml", name) for name in ("for-all", "for-group", "foreign"))
    for_all.chmod(0o666)
    os.chown(for_group, 0, NOBODY)
    for_group.chmod(0o664)
    found = {for_all: f"everybody may write {for_all}", for_group: f"a group may write {for_group}"}
    found[give(foreign)] = f"{foreign} belongs to nobody"
    found[write(loose / "x.yaml", "in-loose")] = f"everybody may write {loose}"
    found[write(theirs / "x.yaml", "in-theirs")] = f"{theirs} belongs to nobody"
    loose.chmod(0o777)
    give(theirs)
    link, their_link, way = (units / f"{name}.yaml" for name in ("link", "their-link", "way"))
    link.symlink_to(give(write(aside / "foreign.yaml", "linked")))
    found[link] = f"{aside}/foreign.yaml belongs to nobody"
    their_link.symlink_to(write(aside / "good.yaml", "linked-too"))
    found[give(their_link)] = f"{their_link} belongs to nobody"
    (theirs / "way").symlink_to("../aside/good.yaml")
    way.symlink_to("../theirs/way")
    found[way] = f"{theirs} belongs to nobody"
    return found


@pytest.fixture
def expected(short_path: Path) -> dict[Path, str]:
    """25 bad unit files, and what is said of each."""
    if os.getuid() != 0:
        cannot("only root can give files away")
    found = loose_files(short_path)
    for name, (text, words) in TEXTS.items():
        path = short_path / "units" / f"{name}.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        found[path] = words
    assert len(found) == 25
    return found


def test_bad_unit_files_are_refused_and_spare_the_others(
    expected: dict[Path, str], short_path: Path, start_daemon: Start, figure: Figure
) -> None:
    good = [f"good{number}" for number in range(GOOD)]
    units = "---\n".join(f"meta: {{name: {name}}}\n" for name in good)
    daemon = start_daemon(units, unit_dirs=["units", "../units", "../loose", "../theirs"])
    with daemon.client() as client:
        told = client.call("units").extra
        assert sorted(row["unit"] for row in told["units"]) == good
        assert_all_told(expected, [Finding.from_json(each) for each in told["errors"]])
        for name in good:
            assert client.call("create", unit=name, instances=[{"a": 1}]).revision
        with pytest.raises(ValidationFailed, match="cannot reload") as refused:
            client.call("reload")
        assert_all_told(expected, list(refused.value.errors))
        assert sorted(row["unit"] for row in client.call("units").extra["units"]) == good
    daemon.end()
    daemon.start("--check")
    assert daemon.process.wait(30) == 78
    assert not [path for path in expected if str(path.relative_to(short_path)) not in daemon.output()]
    assert "Traceback" not in daemon.output()
    figure(
        "T6 bad unit files", f"{len(expected)} files: each refused with file and reason, 0 of {GOOD} good ones affected"
    )


def assert_all_told(expected: dict[Path, str], told: list[Finding]) -> None:
    by_file = {Path(os.path.normpath(finding.file or "")): finding.message for finding in told}
    assert by_file.keys() == expected.keys()
    assert not {path: by_file[path] for path, words in expected.items() if words not in by_file[path]}
