"""No secret is in an answer that does not reveal it: every place of a mark, every endpoint, every stage of a unit.

The places come from the metaschemas (`secret_places`), endpoints and arguments from the registry (`secret_story`). With
``reveal`` every secret is seen: a test that could not see it would prove nothing.
"""

import json
import random
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lmaps.api.registry import ENDPOINTS
from lmaps.cli.options import FORMATS
from lmaps.model.units import UnitSet, load_units_from, unit_from_definition
from lmaps.protocol import Reply
from tests.daemons import RunningDaemon
from tests.in_process import InProcess
from tests.robustness.canaries import KINDS, PRINTING, Canaries
from tests.robustness.secret_commands import (
    BY_ITSELF,
    TERMINAL,
    Shell,
    commands,
    files_of,
    options_of,
    run_all,
    without_marks,
)
from tests.robustness.secret_places import APPLICATORS, DEAD, DRAFTS, REFUSED, Place, places, schema_keywords
from tests.robustness.secret_story import MARKS, Change, Story, WatchedState, arguments, rules, unit_text


@pytest.mark.parametrize("draft", DRAFTS)
def test_every_keyword_that_applies_a_schema_has_a_place(draft: str) -> None:
    covered = {keyword for part in APPLICATORS if draft in part.drafts for keyword in part.keywords}
    refused = {keyword for keyword, (drafts, _) in REFUSED.items() if draft in drafts}
    assert schema_keywords(draft) <= covered | refused | DEAD.get(draft, set())


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: next(iter(mark)))
@pytest.mark.parametrize("draft", DRAFTS)
def test_a_mark_that_cannot_be_followed_is_refused(draft: str, mark: dict[str, bool]) -> None:
    base = {"$schema": DRAFTS[draft], "type": "object", "required": ["id"]}
    text = {"type": "string"}
    cases: dict[str, Any] = {
        "the primary key": base | {"properties": {"id": text | mark}},
        "the document": base | {"properties": {"id": text}} | mark,
        "a misspelt keyword": base | {"properties": {"id": text, "pin": {"x-lmaps-secrets": True}}},
    }
    for keyword, (drafts, schema) in REFUSED.items():
        if draft in drafts:
            cases[keyword] = base | {"properties": {"id": text, "pin": schema(text | mark)}}
    loaded = load_units_from(
        (f"{name}.yaml", unit_text(params, name=f"u{at}")) for at, (name, params) in enumerate(cases.items())
    )
    assert [error.errors[0].file for error in loaded.errors] == [f"{name}.yaml" for name in cases]
    assert all(error.errors[0].line for error in loaded.errors)


def deeper(place: Place, chance: random.Random) -> Place:
    """Return the place with one more applicator around it."""
    fitting = [
        part for part in APPLICATORS if place.draft in part.drafts and all(map(part.fits_around, place.applicators))
    ]
    return Place(place.draft, (chance.choice(fitting), *place.applicators))


def test_every_place_is_masked(tmp_path: Path, seed: int, figure: Callable[[str, str], None]) -> None:
    """All places, with the answers in which whole documents stand."""
    chance = random.Random(seed)
    canaries = Canaries(chance)
    all_places = dict(enumerate(places()))
    texts = [unit_text(place.params(dict(chance.choice(MARKS))), name=f"u{at}") for at, place in all_places.items()]
    loaded = load_units_from((f"{at}.json", text) for at, text in enumerate(texts))
    refused = [str(place) for at, place in all_places.items() if f"u{at}" not in loaded.units]
    assert all(re.search("unevaluatedProperties of the document", place) for place in refused), refused
    hidden: dict[str, str] = {}
    leaks: set[str] = set()
    seen: set[str] = set()
    with InProcess(tmp_path / "state", "---\n".join(texts[int(name[1:])] for name in loaded.units)) as lmaps:

        def look(reply: Reply, verb: str) -> None:
            body = json.dumps(reply.to_json())
            leaks.update(f"{verb} of {hidden[token]}" for token in canaries.found_in(body) if token in hidden)

        for name in loaded.units:
            place = all_places[int(name[1:])]
            versions = [place.document("a", [canaries.value(kind)]) for kind in chance.sample(KINDS, 3)]
            hidden |= dict.fromkeys(canaries.found_in(json.dumps(versions)), str(place))
            look(lmaps.call("create", unit=name, instances=versions[:1]), "create")
            look(lmaps.call("set", unit=name, id="a", instance=versions[1], dry_run=True), "dry run")
            look(lmaps.call("set", unit=name, id="a", instance=versions[1]), "set")
            look(lmaps.call("rollback", unit=name, states=True), "rollback")
            look(lmaps.call("validate", unit=name, instances=versions[2:]), "validate")
            look(lmaps.call("blame", unit=name), "blame")
            look(lmaps.call("show", unit=name, instances=True), "show")
            seen |= canaries.found_in(json.dumps(lmaps.call("show", unit=name, reveal=True).to_json()))
            stored = canaries.found_in(json.dumps(versions[:1]))
            assert stored <= seen, f"not even revealed: {place}"
        look(lmaps.call("history", diff=True, limit=1000), "history")
        look(lmaps.call("export"), "export")
    assert sorted(leaks) == []
    figure("T9 places of secrets", f"{len(loaded.units)} places of 5 drafts, {len(hidden)} canaries: 0 seen")


@pytest.mark.timeout(600)
def test_every_pair_of_applicators_is_masked(
    seed: int, rounds: Callable[[int, int], int], figure: Callable[[str, str], None]
) -> None:
    """Marks below two applicators, and below three: what `Secrets` masks."""
    chance = random.Random(seed)
    canaries = Canaries(chance)
    pairs = list(places(2))
    leaks: list[str] = []
    checked = [*pairs, *(deeper(place, chance) for place in chance.choices(pairs, k=rounds(500, 20_000)))]
    for place in checked:
        document = place.document("a", [canaries.value(chance.choice(KINDS)) for _ in range(2)])
        unit = unit_from_definition(json.loads(unit_text(place.params(dict(chance.choice(MARKS))))))
        if canaries.found_in(json.dumps(unit.secrets.masked(document))):
            leaks.append(str(place))
    assert sorted(leaks) == []
    figure("T9 pairs of places of secrets", f"{len(checked)} places: all masked")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("change", Change)
def test_no_answer_shows_a_secret(
    change: Change,
    tmp_path: Path,
    seed: int,
    rounds: Callable[[int, int], int],
    figure: Callable[[str, str], None],
) -> None:
    chance = random.Random(seed)
    all_places = list(places())
    sample = [
        *chance.sample(all_places, rounds(3, len(all_places))),
        *chance.sample(list(places(2)), rounds(1, len(all_places))),
    ]
    leaks: dict[str, set[str]] = {}
    answers = canaries = 0
    for number, place in enumerate(sample):
        rule = chance.choice([*rules(place.draft)])
        story = Story(tmp_path / str(number), place, change, chance, rule)
        if not story.loads:
            assert any(word in str(place) for word in ("unevaluatedProperties", "dependencies")), place
            continue
        story.tell()
        answers += story.state.answers
        canaries += len(story.state.secret)
        for where, excerpts in story.state.leaks.items():
            leaks.setdefault(where, set()).add(f"{place}, {rule}: {min(excerpts)}")
        assert story.stored <= story.state.revealed, f"{place}: not even revealed"
        assert story.stored
        assert story.audited == story.state.reveals > 0
        if change is Change.NOTHING:
            assert arguments() <= story.state.asked, "an endpoint or an argument is not in the story"
            assert story.state.answered == ENDPOINTS.keys()
    assert {where: sorted(cells)[:3] for where, cells in leaks.items()} == {}
    figure(f"T9 secrets in answers: {change}", f"{len(sample)} places, {canaries} canaries, {answers} answers: 0 seen")


@pytest.mark.timeout(1800)
def test_no_refusal_quotes_a_secret(
    tmp_path: Path, seed: int, rounds: Callable[[int, int], int], figure: Callable[[str, str], None]
) -> None:
    """Every rule at every place, at the secret and where its place begins, broken by secrets of every kind."""
    chance = random.Random(seed)
    canaries = Canaries(chance)
    cells = [
        (place, rule, at_secret) for place in places() for rule in rules(place.draft) for at_secret in (True, False)
    ]
    leaks: dict[str, set[str]] = {}
    refusals, hidden = 0, set[str]()
    state = WatchedState(
        tmp_path / "state",
        unit_text({"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}),
        canaries,
    )
    with state.lmaps:
        for place, rule, at_secret in chance.sample(cells, rounds(100, len(cells))):
            mark, broken = dict(chance.choice(MARKS)), rules(place.draft)[rule]
            params = place.params(mark | broken) if at_secret else place.params(mark, broken)
            unit = unit_from_definition(json.loads(unit_text(params)))
            state.lmaps.service.units = UnitSet({"vault": unit})
            documents = [place.document(f"i{at}", [canaries.value(kind)] * 2) for at, kind in enumerate(KINDS)]
            state.secret = canaries.found_in(json.dumps(documents))
            hidden |= state.secret
            state.leaks.clear()
            before = state.refusals
            state.ask("validate", unit="vault", instances=documents)
            state.ask("create", unit="vault", instances=documents, dry_run=True)
            state.ask("plan", unit="vault", instances=documents[3:])
            state.ask("set", unit="vault", id="i0", instance=documents[0], dry_run=True)
            values = [{"path": f"/{name}", "value": value} for name, value in documents[1].items()]
            state.ask("set", unit="vault", id="i1", set=values, dry_run=True)
            state.ask("import", units=[{"unit": "vault", "instances": documents}], dry_run=True)
            refusals += state.refusals - before
            assert state.refusals > before or (at_secret and place.only_tries), f"{place}: nothing breaks {rule}"
            for where, excerpts in state.leaks.items():
                leaks.setdefault(where, set()).add(f"{place}, {rule} {at_secret}: {min(excerpts)}")
    assert {where: sorted(cells)[:3] for where, cells in leaks.items()} == {}
    figure("T9 secrets in refusals", f"{refusals} refusals, {len(hidden)} canaries: 0 seen")


@pytest.mark.timeout(1800)
def test_no_command_prints_a_secret(
    start_daemon: Callable[..., RunningDaemon],
    seed: int,
    rounds: Callable[[int, int], int],
    figure: Callable[[str, str], None],
) -> None:
    """Every command in every format, the output of jobs, the log at debug level, and the files of the daemon."""
    chance = random.Random(seed)
    canaries = Canaries(chance)
    forms = (*FORMATS, TERMINAL)
    sample = chance.sample(list(places()), rounds(1, 12) * len(forms))
    handler = {"type": "command", "args": {"argv": ["sh", "-c", PRINTING]}}
    texts = [
        unit_text(place.params(dict(chance.choice(MARKS))), handler, name=f"u{at}") for at, place in enumerate(sample)
    ]
    cells = [
        (at, place, forms[at % len(forms)], texts[at])
        for at, place in enumerate(sample)
        if not load_units_from([("unit.json", texts[at])]).errors
    ]
    units = [part for at, *_, text in cells for part in (text, text.replace(f'"u{at}"', f'"u{at}-new"'))]
    daemon = start_daemon(
        "---\n".join(units),
        wait=False,
        state_key="state.key",
        log={"level": "debug", "format": "json"},
    )
    daemon.process.wait(20)
    key = daemon.directory / "state.key"
    key.write_text("A" * 43 + "=")
    key.chmod(0o600)
    daemon.start()
    daemon.wait_ready()
    shells: list[Shell] = []
    for at, place, form, text in cells:
        shell = Shell(daemon, canaries, form)
        run_all(shell, f"u{at}", place, text)
        without_marks(shell, f"u{at}", daemon.unit_dir / f"unit{2 * len(shells)}.yaml")
        shells.append(shell)
    hidden = {token: place for shell in shells for token, place in shell.secret.items()}
    files = files_of(daemon.directory)
    backup = daemon.lmaps("backup", "copy.db", "--verbose")
    daemon.end(signal.SIGTERM)
    files |= files_of(daemon.directory)
    restored = daemon.lmaps("restore", "copy.db", "--verbose")
    assert (backup.returncode, restored.returncode) == (0, 0)
    leaks: dict[str, set[str]] = {}
    if found := canaries.found_in(f"{backup}{restored}") & hidden.keys():
        leaks["backup and restore"] = {hidden[token] for token in found}
    for shell in shells:
        for where, excerpts in shell.leaks.items():
            leaks.setdefault(where, set()).update(excerpts)
    for path, data in files.items():
        if found := canaries.found_in(data) & hidden.keys():
            leaks[f"the file {path.name}"] = {hidden[token] for token in found}
    assert {where: sorted(cells)[:2] for where, cells in leaks.items()} == {}
    tree = commands()
    wanted = {(words, option) for words, command in tree.items() for _, option in options_of(words, command)}
    wanted = {(words, option) for words, option in wanted if words not in BY_ITSELF}
    ran = {pair for shell in shells for pair in shell.ran}
    assert wanted - ran == set()
    succeeded = {words for shell in shells for words in shell.succeeded}
    assert tree.keys() - BY_ITSELF.keys() - succeeded == {("backup",), ("restore",)}
    assert all(shell.stored and shell.stored == shell.revealed for shell in shells), "not even revealed"
    outputs = sum(shell.outputs for shell in shells)
    figure(
        "T9 secrets in commands",
        f"{outputs} outputs in {len(forms)} formats, {len(hidden)} canaries, {len(files)} files: 0 seen",
    )
