"""Masks secrets in what a tool prints: in lines of output, and in events."""

import base64
import html
import json
import re
import urllib.parse
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from lmaps.util.jsonio import JsonObject

HIDDEN = "(secret)"
"""The mask of a secret in text."""
MIN_SCRUBBED = 6
"""Characters of the shortest secret that is masked in text: a shorter one could be part of half the words."""
MAX_WORD = 32
"""Characters of the longest text that is looked up as a whole; a longer one is recognised by pieces of this length.

It bounds the lookups at each place of a text, and so the time, whatever the secrets have in common.
"""

_IN_QUOTES = re.compile(r'[$`"\\]')
"""What shells escape between quotation marks (``export -p``)."""
_IN_WORDS = re.compile(r"""[ !"$&'()*,;<>?\[\\\]^`{|}]""")
"""What shells escape without quotation marks (``printf %q``)."""
_PERCENT = re.compile("%[0-9A-F]{2}")
_ESCAPE = re.compile(r"(\\[xuU])((?<=x)[0-9a-f]{2}|(?<=u)[0-9a-f]{4}|(?<=U)[0-9a-f]{8})")


class Scrubber:
    """Masks ``values`` in a text or in an event, in each form in which tools print them, and each of their lines.

    ``vocabulary`` are the names of fields and the kinds of events, which stay. The time is linear in the text and does
    not depend on the values.
    """

    def __init__(self, values: Iterable[object] = (), vocabulary: Collection[str] = ()) -> None:
        self._words = set(_words(values))
        self._vocabulary = vocabulary
        lengths: dict[str, set[int]] = {}
        for word in self._words:
            lengths.setdefault(word[:MIN_SCRUBBED], set()).add(len(word))
        self._lengths = {start: sorted(sizes, reverse=True) for start, sizes in lengths.items()}

    def text(self, text: str) -> str:
        """Return ``text`` with the values masked in it.

        Values that overlap or touch get one mask: beside a mask for one of them a part of the other would stay.
        """
        parts, done = [], 0
        for start, end in self._spans(text) if self._words else ():
            parts += [text[done:start], HIDDEN]
            done = end
        return "".join([*parts, text[done:]])

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where the values stand, from left to right; none touches another."""
        words, lengths = self._words, self._lengths
        start, end = 0, -1
        for at in range(len(text) - MIN_SCRUBBED + 1):
            for length in lengths.get(text[at : at + MIN_SCRUBBED], ()):  # the longest first
                if at + length <= end:
                    break
                if text[at : at + length] in words:
                    if at > end >= 0:
                        yield start, end
                    start, end = start if at <= end else at, at + length
                    break
        if end >= 0:
            yield start, end

    def event(self, event: JsonObject) -> JsonObject:
        """Return an event with the values masked in its texts and names, and each number that is one of them.

        Its structure stays: scrubbing the text of the JSON could leave something that is no JSON any more.
        """
        masked: JsonObject = self._masked(event)
        kind = event.get("event")
        return masked | {"event": kind} if isinstance(kind, str) and kind in self._vocabulary else masked

    def _masked(self, value: object) -> Any:
        if isinstance(value, dict):
            names = self._names(value)
            return {names[name]: self._masked(below) for name, below in value.items()}
        if isinstance(value, list):
            return [self._masked(below) for below in value]
        if isinstance(value, str):
            return self.text(value)
        if type(value) in (int, float):
            shown = json.dumps(value)
            return value if self.text(shown) == shown else HIDDEN
        return value

    def _names(self, names: Iterable[str]) -> dict[str, str]:
        """Return each name masked; those that became the same are numbered, since no value may be lost."""
        masked = {name: name if name in self._vocabulary else self.text(name) for name in names}
        taken = {name for name, shown in masked.items() if name == shown}
        last_numbers: Counter[str] = Counter()
        for name, shown in masked.items():
            if name == shown:
                continue
            while masked[name] in taken:
                last_numbers[shown] += 1
                masked[name] = f"{shown} {last_numbers[shown] + 1}"
            taken.add(masked[name])
        return masked


def _words(values: Iterable[object]) -> Iterator[str]:
    """Yield the texts by which ``values`` are recognised, without those that are too short."""
    for value in (scalar for document in values for scalar in _scalars(document)):
        # Output is scrubbed line by line: a secret of several lines never occurs as a whole. Other tools break lines
        # at more characters than the newline.
        texts = {value, *value.split("\n"), *value.splitlines()} if isinstance(value, str) else {json.dumps(value)}
        for text in texts:
            # A form is never much shorter than the text: an empty line needs no forms.
            for form in _forms(text) if len(text) >= MIN_SCRUBBED else ():
                yield from _pieces(form)


def _scalars(value: object) -> Iterator[object]:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if parts is None:
        yield value
    for part in parts or ():
        yield from _scalars(part)


def _pieces(word: str) -> Iterator[str]:
    """Yield ``word``, or the pieces of `MAX_WORD` characters that cover it; nothing if it is too short."""
    if MIN_SCRUBBED <= len(word) <= MAX_WORD:
        yield word
    elif len(word) > MAX_WORD:
        yield from (word[at : at + MAX_WORD] for at in range(0, len(word) - MAX_WORD, MAX_WORD))
        yield word[-MAX_WORD:]


def _forms(text: str) -> set[str]:
    """Return how tools print a text."""
    utf_16 = text.encode("utf-16-le", "replace").decode(errors="replace").strip("\0")
    forms = {text, utf_16, *_base64(text)}
    if text.isascii() and text.isalnum():
        return forms  # nothing of it is ever escaped
    quoted = _quoted(text)
    forms |= quoted.union(*map(_quoted, quoted))  # twice: JSON within JSON, within a list of Python ...
    for form in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        # What is optional in JSON: PHP escapes slashes, Go and Jinja2 what means something in HTML.
        markup = form.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
        forms |= {form.replace("/", "\\/"), markup, markup.replace("'", "\\u0027")}
    forms |= {text.replace("'", quote) for quote in ("''", "'\\''", "'\"'\"'")}  # YAML and SQL, shells
    forms |= {text.replace('"', '""'), *(special.sub(r"\\\g<0>", text) for special in (_IN_QUOTES, _IN_WORDS))}
    forms |= _in_urls(text) | _in_markup(text)
    return forms if text.isascii() else forms | _beyond_ascii(text, quoted)


def _in_urls(text: str) -> set[str]:
    """Return a text as URLs and forms of web pages have it."""
    percent = {urllib.parse.quote(text, safe, errors="replace") for safe in ("/", "", "!'()*")}
    percent.add(urllib.parse.quote_plus(text, errors="replace"))
    return percent | {_PERCENT.sub(lambda code: code[0].lower(), form) for form in percent}


def _in_markup(text: str) -> set[str]:
    """Return a text as HTML and XML have it, in attributes too."""
    entities = html.escape(text, quote=False)
    marks = (("&quot;", "&#x27;"), ("&quot;", "&#39;"), ("&#34;", "&#39;"), ("&quot;", "&apos;"))
    return {entities, *(entities.replace('"', quotation).replace("'", apostrophe) for quotation, apostrophe in marks)}


def _beyond_ascii(text: str, quoted: Iterable[str]) -> set[str]:
    """Return a text that is not ASCII in other encodings and escapes; ``quoted`` is what `_quoted` returns for it."""
    encoded = {text.encode(code, "replace").decode(errors="replace") for code in ("latin-1", "cp1252")}
    escaped = text.replace("\\", "\\\\")
    octal = map(_octal, (text, escaped.replace('"', '\\"'), escaped.replace("'", "\\'")))
    # Java and YAML write the digits of escapes in upper case; YAML has those of Python, and \\" as JSON.
    as_yaml = ascii(f"{text}'\"")[1:-4].replace("\\'", "'").replace('"', '\\"')
    upper_case = {_ESCAPE.sub(lambda escape: escape[1] + escape[2].upper(), form) for form in {*quoted, as_yaml}}
    return {repr(text.encode(errors="replace"))[2:-1], *encoded, *octal, *upper_case}


def _octal(text: str) -> str:
    """Return a text as shells, Git and Perl print it where the locale is C."""
    return "".join(chr(code) if code < 128 else f"\\{code:03o}" for code in text.encode(errors="replace"))


def _quoted(text: str) -> set[str]:
    """Return a text as JSON and Python write it between quotation marks."""
    as_json = (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    # Python escapes an apostrophe only beside a quotation mark, which may be elsewhere in the printed value.
    as_python = [show(f"{text}'\"")[1:-4] for show in (repr, ascii)]
    return {*as_json, *as_python, *(form.replace("\\'", "'") for form in as_python)}


def _base64(text: str) -> Iterator[str]:
    """Yield the Base64 of a text: alone, and as a part of anything that is encoded, such as ``user:password``.

    Within something else the first and the last character also hold bits of what is beside the text: they stay.
    """
    data = text.encode(errors="replace")
    for before, skipped in enumerate((0, 2, 3)):
        whole = base64.b64encode(b"\0" * before + data).decode()
        inner = whole[skipped : (before + len(data)) * 8 // 6]
        yield from (inner, inner.replace("+", "-").replace("/", "_"))
        if not before:
            yield from (whole, whole.replace("+", "-").replace("/", "_"))
