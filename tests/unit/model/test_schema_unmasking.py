"""Masks that come back: a stored secret goes to its own place, or the mask stays and is refused."""

import copy
import itertools
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmaps.model.diff import MISSING, Difference, Path, changed, look_up
from lmaps.model.schema import Schema, Secrets
from lmaps.model.schema.secrets import CHANGED, MASK
from lmaps.model.schema.unmasking import is_mask, remaining_masks, unmasked
from lmaps.util.jsonio import canonical

SECRET = {"writeOnly": True}
USER = {"properties": {"name": {}, "password": SECRET, "keys": {"items": {"properties": {"pin": SECRET, "n": {}}}}}}
SECRETS = Secrets(
    {
        "properties": {
            "users": {"items": USER},
            "by_name": {"additionalProperties": USER},
            "words": {"items": SECRET},
            "whole": {"type": "array", "writeOnly": True},
            "pair": {"prefixItems": [SECRET, {}]},
            "either": {"oneOf": [{"items": USER}, {"additionalProperties": SECRET}]},
        },
        "patternProperties": {"^p_": SECRET},
    }
)
M = MASK


def user(name: str, password: object = M, **more: object) -> dict[str, object]:
    return {"name": name, "password": password, **more}


A, B, C = user("a", "A"), user("b", "B"), user("c", "C")
a, b, c = user("a"), user("b"), user("c")
PINS = [{"pin": "1", "n": 1}, {"pin": "2", "n": 2}]


@pytest.mark.parametrize(
    ("stored", "document", "expected"),
    [
        pytest.param({"users": [A, B]}, {"users": [a, b]}, {"users": [A, B]}, id="unchanged"),
        pytest.param({"users": [A, B, C]}, {"users": [b, c]}, {"users": [B, C]}, id="an item removed"),
        pytest.param({"users": [A, B, C]}, {"users": [c, a, b]}, {"users": [C, A, B]}, id="reordered"),
        pytest.param({"users": [A, B]}, {"users": [a, user("x"), b]}, {"users": [A, user("x"), B]}, id="inserted"),
        pytest.param({"users": [A, B]}, {"users": [a, a, b]}, {"users": [a, a, B]}, id="an item twice"),
        pytest.param({"users": [A, A, B]}, {"users": [a, b]}, {"users": [a, B]}, id="two looked equal"),
        pytest.param({"users": [A, A, B]}, {"users": [a, a, b]}, {"users": [A, A, B]}, id="equal ones, unchanged"),
        pytest.param({"users": [A, B]}, {"users": [user("x"), b]}, {"users": [user("x"), B]}, id="edited"),
        pytest.param(
            {"users": [A, B]}, {"users": [user("a", "new"), b]}, {"users": [user("a", "new"), B]}, id="given anew"
        ),
        pytest.param({"by_name": {"a": A, "b": B}}, {"by_name": {"b": b}}, {"by_name": {"b": B}}, id="by key"),
        pytest.param(
            {"by_name": {"a": A}}, {"by_name": {"a": user("x")}}, {"by_name": {"a": user("x", "A")}}, id="edited by key"
        ),
        pytest.param({"by_name": {"a": A}}, {"by_name": {"x": a}}, {"by_name": {"x": a}}, id="renamed key"),
        pytest.param(
            {"by_name": {"a": A, "b": B}},
            {"by_name": {"a": b, "b": a}},
            {"by_name": {"a": user("b", "A"), "b": user("a", "B")}},
            id="swapped keys",
        ),
        pytest.param({"words": ["A", "B"]}, {"words": [M, M]}, {"words": ["A", "B"]}, id="bare, unchanged"),
        pytest.param({"words": ["A", "B"]}, {"words": [M]}, {"words": [M]}, id="bare, one removed"),
        pytest.param({"words": ["A", "B"]}, {"words": ["new", M]}, {"words": ["new", M]}, id="bare, one given anew"),
        pytest.param({"words": ["A", "B"]}, {"words": ["A", M]}, {"words": ["A", M]}, id="bare, one given equal"),
        pytest.param({"words": ["A"]}, {"words": [M, M]}, {"words": [M, M]}, id="bare, one added"),
        pytest.param({"whole": ["A", "B"]}, {"whole": M}, {"whole": ["A", "B"]}, id="a list that is a secret"),
        pytest.param({"whole": ["A", "B"]}, {"whole": [M, M]}, {"whole": [M, M]}, id="masks within a secret"),
        pytest.param({"pair": ["A", "x"]}, {"pair": ["x", M]}, {"pair": ["x", M]}, id="moved to where none is"),
        pytest.param({"p_a": "A"}, {"p_a": M, "p_b": M}, {"p_a": "A", "p_b": M}, id="by pattern"),
        pytest.param({"either": [A, B]}, {"either": [b]}, {"either": [B]}, id="a branch"),
        pytest.param({"either": [A]}, {"either": {"0": M}}, {"either": {"0": M}}, id="another branch"),
        pytest.param({"p_a": M}, {"p_a": M}, {"p_a": M}, id="a stored mask"),
        pytest.param({"p_a": "A"}, {"p_a": CHANGED}, {"p_a": CHANGED}, id="the mask of a difference"),
        pytest.param(
            {"users": [user("a", "A", keys=PINS), B]},
            {"users": [b, user("a", keys=[{"pin": M, "n": 1}, {"pin": M, "n": 2}])]},
            {"users": [B, user("a", "A", keys=PINS)]},
            id="nested lists",
        ),
        pytest.param(
            {"users": [user("a", "A", keys=PINS)]},
            {"users": [user("a", keys=[{"pin": M, "n": 2}])]},
            {"users": [user("a", keys=[{"pin": M, "n": 2}])]},
            id="a nested item removed",
        ),
        pytest.param(
            {"by_name": {"a": user("a", "A", keys=PINS)}},
            {"by_name": {"a": user("a", keys=[{"pin": M, "n": 2}])}},
            {"by_name": {"a": user("a", "A", keys=[PINS[1]])}},
            id="a list below a key",
        ),
        pytest.param(None, {"users": [a]}, {"users": [a]}, id="nothing stored"),
    ],
)
def test_a_mask_becomes_the_secret_of_its_own(stored, document, expected):
    assert unmasked(SECRETS, document, *([] if stored is None else [stored])) == expected


def test_an_item_is_recognised_as_given_and_as_completed():
    stored = {"users": [{"password": "A"}, {"name": "b", "password": "B"}, {"name": "c", "password": "C"}]}
    completed = {"users": [user("b", "A"), user("b", "B"), user("c", "C")]}
    assert unmasked(SECRETS, {"users": [c]}, stored, completed) == {"users": [C]}
    assert unmasked(SECRETS, {"users": [{"password": M}]}, stored, completed) == {"users": [{"password": "A"}]}
    assert unmasked(SECRETS, {"users": [b]}, stored, completed) == {"users": [b]}, "it may be either of two"
    stored, completed = {"users": [{"password": "A"}]}, {"users": [user("a", "A")]}
    both = {"users": [{"password": M}, a]}
    assert unmasked(SECRETS, both, stored, completed) == both, "both may be the one"
    assert unmasked(SECRETS, {"p_x": M}, {}, {"p_x": "default"}) == {"p_x": "default"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (MASK, True),
        (CHANGED, True),
        ('{"$secret": "set"}', True),
        ("{$secret: changed}", True),
        ("$secret: set\n", True),
        ("{'$secret':'set'}", True),
        ("$secret", False),
        ("my $secret: set", False),
        ({"$secret": "mine"}, False),
        ({**MASK, "more": 1}, False),
        ([MASK], False),
    ],
)
def test_what_a_mask_is(value, expected):
    assert is_mask(value) == expected


def test_no_place_may_have_a_mask():
    document = {"p_a": M, "open": {"x": M, "words": [1, CHANGED]}, "fine": {"$secret": "other"}, "more": {**M, "x": 1}}
    findings = remaining_masks(document, 3)
    assert [(finding.at, finding.document) for finding in findings] == [
        (("p_a",), 3), (("open", "x"), 3), (("open", "words", 1), 3)
    ]  # fmt: skip
    assert {finding.message.partition(";")[0] for finding in findings} == {
        "this is the mask of a secret: give the secret itself"
    }
    assert ["in a list" in finding.message for finding in findings] == [False, False, True]


@pytest.mark.parametrize("same", [False, True])
def test_long_lists_take_linear_time(same):
    def cpu(count: int) -> float:
        users = [user("same" if same else f"user{number}", f"S{number}") for number in range(count)]
        document = {"users": SECRETS.masked({"users": users})["users"][:-1]}
        begin = time.process_time()
        result = unmasked(SECRETS, document, {"users": users}, {"users": users})
        assert result == (document if same else {"users": users[:-1]})
        return time.process_time() - begin

    # Sixteen times as many take some twenty times as long; if each was compared with each it would be 256 times.
    assert cpu(16_000) < 32 * min(cpu(1000) for _ in range(3))


# A property test: a schema, a document, its masked form, changes of that, and back.

Kind = tuple[Any, ...]
KEYS = ("a", "b", "p_x")


def random_kind(random: Random, depth: int = 3) -> Kind:
    """Return a kind of values: open, secret, an object, a list, branches; what a schema is made of."""
    name = random.choice(["open", "secret", "object", "list", "list", "either", "ref"][: 7 if depth else 2])
    match name:
        case "object":
            properties = {key: random_kind(random, depth - 1) for key in random.sample(KEYS, random.randint(1, 3))}
            return name, properties, random_kind(random, depth - 1)
        case "list":
            first = [random_kind(random, depth - 1) for _ in range(random.choice([0, 0, 1, 2]))]
            return name, first, random_kind(random, depth - 1)
        case "either":
            return name, random_kind(random, depth - 1), random_kind(random, depth - 1)
        case "ref":
            return name, random_kind(random, depth - 1)
    return (name,)


def schema_of(kind: Kind, defs: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a kind; ``defs`` collects what is referred to."""
    match kind:
        case ("secret",):
            return SECRET
        case ("object", properties, others):
            named = {name: schema_of(below, defs) for name, below in properties.items() if not name.startswith("p_")}
            patterns = {f"^{name}": schema_of(below, defs) for name, below in properties.items() if name not in named}
            others = schema_of(others, defs)
            return {"properties": named, "patternProperties": patterns, "additionalProperties": others}
        case ("list", first, items):
            return {"prefixItems": [schema_of(below, defs) for below in first], "items": schema_of(items, defs)}
        case ("either", one, other):
            return {"anyOf": [schema_of(one, defs), schema_of(other, defs)]}
        case ("ref", below):
            name = f"d{len(defs)}"
            defs[name] = {}
            defs[name] = schema_of(below, defs)
            return {"$ref": f"#/$defs/{name}"}
    return {"default": 0}


@dataclass
class Node:
    """A value of the document that is changed: where it came from in the stored one, None for what is new."""

    value: Any
    origin: Path | None = None
    below: dict[str, "Node"] | list["Node"] | None = None

    def plain(self) -> Any:
        if isinstance(self.below, dict):
            return {key: node.plain() for key, node in self.below.items()}
        return self.value if self.below is None else [node.plain() for node in self.below]

    def at(self, path: Path) -> "Node":
        node = self
        for key in path:
            node = node.below[key]  # type: ignore[index]
        return node

    def all(self) -> Iterator["Node"]:
        yield self
        for node in self.below.values() if isinstance(self.below, dict) else self.below or ():
            yield from node.all()

    def copied(self) -> "Node":
        result = copy.deepcopy(self)
        for node in result.all():
            node.origin = None
        return result


def tree(value: Any, at: Path | None) -> Node:
    def child(key: str | int) -> Path | None:
        return None if at is None else (*at, key)

    if isinstance(value, dict) and not is_mask(value):
        return Node(None, at, {key: tree(below, child(key)) for key, below in value.items()})
    if isinstance(value, list):
        return Node(None, at, [tree(below, child(index)) for index, below in enumerate(value)])
    return Node(value, at)


@dataclass
class Story:
    """A schema, the document that is stored, and the one that comes back."""

    schema: dict[str, Any]
    stored: Any
    completed: Any
    secrets: Secrets
    new: Node
    changes: list[str] = field(default_factory=list)


def random_story(random: Random) -> Story:
    """Return a story with up to three changes."""
    properties = {key: random_kind(random) for key in random.sample(KEYS, random.randint(1, 2))}
    root = ("object", properties, random_kind(random, 1))
    count = itertools.count()

    def value(kind: Kind, tag: str) -> Any:
        match kind:
            case ("secret",):
                text = f"{tag}{next(count)}"
                return random.choice([text, {"in": text}, [text]])
            case ("object", properties, others):
                kinds_of = {**properties, "other": others}
                names = random.sample(sorted(kinds_of), random.randint(1, len(kinds_of)))
                return {name: value(kinds_of[name], tag) for name in names}
            case ("list", first, items):
                size = random.randint(0, 4)
                return [value(first[at] if at < len(first) else items, tag) for at in range(size)]
            case ("either", *branches):
                return value(random.choice(branches), tag)
            case ("ref", below):
                return value(below, tag)
        return random.choice([0, 0, 1, 2])

    defs: dict[str, Any] = {}
    schema = schema_of(root, defs) | {"$defs": defs}
    stored = value(root, "S")
    secrets = Secrets(schema)
    # More is masked than the kinds call secret: of branches and additionalProperties all that could apply counts.
    paths = secrets.paths(stored)
    whole = [path for path in sorted(paths, key=str) if not any(path[:depth] in paths for depth in range(len(path)))]
    stored = changed(stored, [Difference(path, MISSING, value(("secret",), "S")) for path in whole])
    completed = Schema(schema).complete(stored)
    new = tree(secrets.masked(random.choice([stored, completed])), ())
    story = Story(schema, stored, completed, secrets, new)
    for change in random.choices(list(CHANGES), k=random.randint(0, 3)):
        nodes = [node for node in new.all() if (node.below is None) == (change in ("edit", "give"))]
        if nodes and CHANGES[change](random, random.choice(nodes), f"N{next(count)}"):
            story.changes.append(change)
    return story


def remove(random: Random, node: Node, _fresh: str) -> bool:
    if not node.below:
        return False
    key = random.choice(sorted(node.below) if isinstance(node.below, dict) else range(len(node.below)))
    del node.below[key]  # type: ignore[arg-type]
    return True


def reorder(random: Random, node: Node, _fresh: str) -> bool:
    if not isinstance(node.below, list):
        return False
    node.below = random.sample(node.below, len(node.below))
    return True


def insert(random: Random, node: Node, fresh: str) -> bool:
    value = random.choice([MASK, fresh, 0, {"a": MASK, "b": 0}, [MASK]])
    if isinstance(node.below, list):
        node.below.insert(random.randint(0, len(node.below)), tree(value, None))
    elif isinstance(node.below, dict):
        node.below[random.choice([*KEYS, "other"])] = tree(value, None)
    return True


def duplicate(random: Random, node: Node, _fresh: str) -> bool:
    if not isinstance(node.below, list) or not node.below:
        return False
    node.below.insert(random.randint(0, len(node.below)), random.choice(node.below).copied())
    return True


def rename(random: Random, node: Node, _fresh: str) -> bool:
    if not isinstance(node.below, dict) or not node.below:
        return False
    one, other = random.choice(sorted(node.below)), random.choice([*KEYS, "other"])
    moved, replaced = node.below.pop(one), node.below.pop(other, None)
    node.below[other] = moved
    if replaced is not None and one != other:
        node.below[one] = replaced
    return True


def edit(random: Random, node: Node, _fresh: str) -> bool:
    if node.below is not None or is_mask(node.value):
        return False
    node.value = random.randint(0, 3)
    return True


def give(_random: Random, node: Node, fresh: str) -> bool:
    if not is_mask(node.value):
        return False
    node.value = fresh
    return True


CHANGES = {change.__name__: change for change in (remove, reorder, insert, duplicate, rename, edit, give)}
# LMAPS_EXAMPLES=15000 pytest tests/unit/model/test_schema_unmasking.py takes some minutes.
EXAMPLES = int(os.environ.get("LMAPS_EXAMPLES", "200"))


def restored(before: Any, after: Any, at: Path = ()) -> Iterator[Path]:
    """Yield where a mask became something else; all other values have to be as they were."""
    if is_mask(before):
        if before != after:
            yield at
        return
    assert type(before) is type(after), at
    if isinstance(before, dict):
        assert list(before) == list(after), at
        for key in before:
            yield from restored(before[key], after[key], (*at, key))
    elif isinstance(before, list):
        assert len(before) == len(after), at
        for index in range(len(before)):
            yield from restored(before[index], after[index], (*at, index))
    else:
        assert before == after, at


def is_its_own(story: Story, path: Path, source: Path) -> bool:
    """Return whether the secret that was stored at ``source`` belongs to ``path`` of the changed document."""
    if len(path) != len(source):
        return False
    forms = [story.secrets.masked(form) for form in (story.stored, story.completed)]
    for depth, (key, origin) in enumerate(zip(path, source, strict=True)):
        if isinstance(key, str):
            if key != origin:
                return False
            continue
        node = story.new.at(path[:depth])
        lists: list[Any] = [look_up(form, source[:depth]) for form in forms]
        if canonical(node.plain()) in map(canonical, lists):
            if key != origin:
                return False
            continue
        item = node.at((key,))
        items: Any = look_up(story.secrets.masked(story.new.plain()), path[:depth])
        look = canonical(items[key])
        is_of_the_list = item.origin is not None and item.origin[:-1] == source[:depth]
        if is_of_the_list and look in [canonical(look_up(form, item.origin)) for form in forms]:  # type: ignore[arg-type]
            if item.origin[-1] != origin:  # type: ignore[index]
                return False
            continue
        # A new item, one that was edited, or one of a list that had another name is what it looks like, if nothing
        # else looks so, then or now.
        if sum(canonical(other) == look for other in items) != 1:
            return False
        places = {place for below in lists for place, other in enumerate(below) if canonical(other) == look}
        if places != {origin}:
            return False
    return True


@pytest.mark.timeout(60 + EXAMPLES // 5)
@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(0, 2**64))
def test_no_secret_moves_to_another_place(seed):
    story = random_story(Random(seed))
    document = story.new.plain()
    sources: dict[str, list[Path]] = defaultdict(list)
    for form in (story.stored, story.completed):
        for path in story.secrets.paths(form):
            sources[json.dumps(look_up(form, path))].append(path)
    result = unmasked(story.secrets, document, story.stored, story.completed)
    places = set(restored(document, result))
    assert places <= story.secrets.paths(result), "a secret is where none is hidden"
    for path in places:
        assert any(is_its_own(story, path, source) for source in sources[json.dumps(look_up(result, path))])
    remaining = {finding.at for finding in remaining_masks(result, 0)}
    if not story.changes:
        assert not remaining
    elif story.changes in (["remove"], ["reorder"]):
        assert_unique_ones_are_back(story, remaining)
    # Which masks are replaced does not tell what the secrets are.
    others = [json.loads(json.dumps(form).replace('"S', '"T')) for form in (story.stored, story.completed)]
    assert set(restored(document, unmasked(story.secrets, document, *others))) == places


def assert_unique_ones_are_back(story: Story, remaining: set[Path]) -> None:
    """Assert that a mask stays only in a list that has equal items, or whose items moved to another schema's place."""
    masked = story.secrets.masked(story.completed)
    for path in remaining:
        lists = [path[:depth] for depth, key in enumerate(path) if isinstance(key, int)]
        assert lists, "below keys all are back"
        old: Any = look_up(masked, lists[0])
        new: Any = look_up(story.secrets.masked(story.new.plain()), lists[0])
        looks = list(map(canonical, old))
        is_nested = len(lists) > 1
        moved = any(canonical(item) not in looks for item in new)
        moved = moved or path not in story.secrets.paths(story.new.plain())
        assert is_nested or moved or len(set(looks)) < len(looks)


def test_a_clear_secret_is_not_compared_with_the_stored_one():
    for word in ("A", "B", "x"):
        document = {"words": [word, M], "users": [user("a", word), b]}
        result = unmasked(SECRETS, document, {"words": ["A", "B"], "users": [A, B]})
        assert result == {"words": [word, M], "users": [user("a", word), B]}
