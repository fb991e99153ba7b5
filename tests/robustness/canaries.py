"""Canaries: secrets that are recognised wherever they turn up, in any usual form."""

import base64
import json
import random
import re
from collections.abc import Iterator
from typing import Any

TOKEN = re.compile(rb"canary[0-9]{12}x|(?=([1-9][0-9]{14}))")
"""The part of a canary that every form of it has: no escaping and no quoting changes these characters."""
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{20,}")
_HEX = re.compile(rb"[0-9a-fA-F]{30,}")


PRINTING = "cat > all; cat all; tr ',' '\\n' < all; cat all | tr -d '\\n' >&2; env; cat /proc/$$/cmdline; rm all; [ ! -e $HOME/fail ]"
"""What a careless handler prints: the state in all forms, its environment, its arguments."""


class Canaries:
    """Makes secrets of every JSON type, and finds them."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._tokens: set[str] = set()

    def word(self) -> str:
        """Return a new text that is a canary and nothing else."""
        token = f"canary{self._chance.randrange(10**12):012d}x"
        self._tokens.add(token)
        return token

    def number(self) -> int:
        """Return a new integer that a float can hold too."""
        number = self._chance.randrange(10**13, 10**14) * 10 + self._chance.randrange(1, 10)
        self._tokens.add(str(number))
        return number

    def value(self, kind: str) -> Any:
        """Return a new secret; a list or an object has several canaries, an object also as its keys."""
        match kind:
            case "text":
                return self.word()
            case "odd text":
                return f"{self.word()} \"quoted\" 'ümlaut' \\ {{{{ x }}}}\n{self.word()} €\n"
            case "integer":
                return self.number()
            case "float":
                return float(f"0.{self.number()}")
            case "list":
                return [self.word(), self.number(), [self.word()]]
            case "object":
                return {self.word(): self.word(), "plain": {"nested": [self.word()]}}
            case "content":
                return json.dumps({"inner": self.word()})
        raise ValueError(kind)

    def found_in(self, data: bytes | str) -> set[str]:
        """Return the canaries in ``data``: as they are, as UTF-16, in base64 and in hexadecimal, at any place."""
        raw = data.encode(errors="surrogatepass") if isinstance(data, str) else data
        matches = (match for text in _decoded(raw) for match in TOKEN.finditer(text))
        return {(match[1] or match[0]).decode() for match in matches} & self._tokens


KINDS = ("text", "odd text", "integer", "float", "list", "object", "content")


def _decoded(data: bytes) -> Iterator[bytes]:
    yield data
    if b"\0" in data:
        yield data.replace(b"\0", b"")
    for run in _BASE64.findall(data):
        run = run.translate(bytes.maketrans(b"-_", b"+/"))
        for shift in range(4):
            part = run[shift:]
            yield base64.b64decode(part[: len(part) // 4 * 4])
    for run in _HEX.findall(data):
        for shift in range(2):
            part = run[shift:]
            yield bytes.fromhex(part[: len(part) // 2 * 2].decode())
