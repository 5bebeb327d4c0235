"""The Lucene-like query of the search calls, over the few fields of an audience.

    foo   foo AND bar   foo bar (either)   NOT foo   name:foo   run*   cam?   "a phrase"   "hotel airport"~5   blue~1
    /[mh]otel/   (a OR b) AND c

A field's text is taken as words in lower case; a term, a wildcard and a regular expression have to fit a whole word.
Regular expressions are matched by following all alternatives at once, so that none takes more than linear time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from app.errors import InvalidRequest

Words = Mapping[str, Sequence[str]]
Query = Callable[[Words], bool]

MAX_QUERY_CHARACTERS: Final = 1000
_MAX_DISTANCE: Final = 2
_MAX_NESTING: Final = 20
_MAX_STATES: Final = 1000

_WORD = re.compile(r"[^\W_]+")
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<open>\() | (?P<close>\))
      | (?P<field>[A-Za-z][A-Za-z.]*)\s*:(?!\s*$)
      | "(?P<phrase>[^"]*)"(?:~(?P<slop>\d{1,2}))?
      | /(?P<regex>(?:[^/\\]|\\.)+)/
      | (?P<term>[^\s()":~/]+)(?P<fuzzy>~(?P<distance>\d)?)?
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    number: int | None = None


def words_of(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return _WORD.findall(text.lower())


def parse_text_query(text: str) -> Query:
    """Return the test that a query stands for. Raises InvalidRequest."""
    if len(text) > MAX_QUERY_CHARACTERS:
        raise InvalidRequest(f"s is longer than {MAX_QUERY_CHARACTERS} characters", path=("s",))
    parser = _Parser(_tokens(text))
    return parser.whole()


def _fault(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The search text cannot be read: {reason}", path=("s",))


def _tokens(text: str) -> list[_Token]:
    found, position = [], 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise _fault(f"unexpected {text[position:].strip()[0]!r}")
        found.append(_token(match))
        position = match.end()
    return found


def _token(match: re.Match[str]) -> _Token:
    kind = match.lastgroup or ""
    if match["phrase"] is not None:
        return _Token("phrase", match["phrase"], int(match["slop"] or 0))
    if match["term"] is not None:
        distance = None if match["fuzzy"] is None else int(match["distance"] or _MAX_DISTANCE)
        if distance is not None and distance > _MAX_DISTANCE:
            raise _fault(f"the distance after ~ must be 0 to {_MAX_DISTANCE}")
        upper = match["term"]
        if distance is None and upper in {"AND", "OR", "NOT"}:
            return _Token(upper, upper)
        return _Token("term", match["term"], distance)
    return _Token(kind, match[kind])


class _Parser:
    """Recursive descent: OR below AND below NOT; two operands side by side mean OR."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._position = 0
        self._depth = 0

    def whole(self) -> Query:
        if not self._tokens:
            return lambda _words: True
        query = self._either(None)
        if self._position < len(self._tokens):
            raise _fault(f"unexpected {self._tokens[self._position].text!r}")
        return query

    def _peek(self) -> str | None:
        return self._tokens[self._position].kind if self._position < len(self._tokens) else None

    def _take(self) -> _Token:
        if self._position >= len(self._tokens):
            raise _fault("it ends too early")
        self._position += 1
        return self._tokens[self._position - 1]

    def _either(self, field: str | None) -> Query:
        parts = [self._both(field)]
        while self._peek() not in {None, "close"}:
            if self._peek() == "OR":
                self._take()
            parts.append(self._both(field))
        return lambda words: any(part(words) for part in parts)

    def _both(self, field: str | None) -> Query:
        parts = [self._negated(field)]
        while self._peek() == "AND":
            self._take()
            parts.append(self._negated(field))
        return lambda words: all(part(words) for part in parts)

    def _negated(self, field: str | None) -> Query:
        if self._peek() != "NOT":
            return self._operand(field)
        self._take()
        inner = self._operand(field)
        return lambda words: not inner(words)

    def _operand(self, field: str | None) -> Query:
        token = self._take()
        if token.kind == "open":
            return self._group(field)
        if token.kind == "field":
            return self._operand(token.text)
        if token.kind in {"close", "AND", "OR", "NOT"}:
            raise _fault(f"unexpected {token.text!r}")
        test = _test(token)

        def query(words: Words) -> bool:
            if field is None:
                return any(test(words[name]) for name in words)
            return field in words and test(words[field])

        return query

    def _group(self, field: str | None) -> Query:
        self._depth += 1
        if self._depth > _MAX_NESTING:
            raise _fault(f"more than {_MAX_NESTING} brackets inside each other")
        inner = self._either(field)
        if self._take().kind != "close":
            raise _fault("a bracket is not closed")
        self._depth -= 1
        return inner


def _test(token: _Token) -> Callable[[Sequence[str]], bool]:
    if token.kind == "phrase":
        return _phrase_test(words_of(token.text), token.number or 0)
    if token.kind == "regex":
        automaton = _Automaton(_pattern(token.text))
        return lambda words: any(automaton.fits(word) for word in words)
    if token.number is not None:
        wanted, distance = token.text.lower(), token.number
        return lambda words: any(_distance(wanted, word, distance) <= distance for word in words)
    if "*" in token.text or "?" in token.text:
        automaton = _Automaton(_wildcard(token.text.lower()))
        return lambda words: any(automaton.fits(word) for word in words)
    # A term such as luma-winback is several words to us; it is then a phrase.
    return _phrase_test(words_of(token.text), 0)


def _phrase_test(wanted: list[str], slop: int) -> Callable[[Sequence[str]], bool]:
    def test(words: Sequence[str]) -> bool:
        width = len(wanted) + slop
        if not wanted:
            return False
        if slop == 0:
            return any(list(words[at : at + width]) == wanted for at in range(len(words)))
        return any(set(wanted) <= set(words[at : at + width]) for at in range(len(words)))

    return test


def _distance(left: str, right: str, limit: int) -> int:
    """Return the number of edits from one word to the other, or anything over ``limit`` when it is more."""
    if abs(len(left) - len(right)) > limit:
        return limit + 1
    row = list(range(len(right) + 1))
    for at, character in enumerate(left, 1):
        following = [at]
        for (diagonal, above), other in zip(pairwise(row), right, strict=True):
            following.append(min(above + 1, following[-1] + 1, diagonal + (character != other)))
        row = following
    return row[-1]


# A pattern is a sequence of (characters that fit, least, most): None fits every character, a most of None is no limit.
_Piece = tuple[frozenset[str] | None, bool, int, int | None]


def _wildcard(text: str) -> list[_Piece]:
    pieces: list[_Piece] = []
    for character in text:
        if character == "*":
            pieces.append((None, True, 0, None))
        else:
            pieces.append((None, True, 1, 1) if character == "?" else (frozenset(character), True, 1, 1))
    return pieces


_REGEX_PIECE = re.compile(
    r"(?:\[(?P<not>\^?)(?P<set>(?:[^\]\\]|\\.)+)\]|\\(?P<escaped>.)|(?P<any>\.)|(?P<plain>[^\[\](){}|*+?\\.^$]))"
    r"(?P<repeat>[*+?]|\{(?P<least>\d{1,3})(?P<comma>,(?P<most>\d{0,3}))?\})?"
)


def _pattern(text: str) -> list[_Piece]:
    """Read a regular expression of characters, sets and repetitions; groups and alternatives are not served."""
    pieces: list[_Piece] = []
    position = 0
    while position < len(text):
        match = _REGEX_PIECE.match(text, position)
        if match is None:
            raise _fault(f"the regular expression has {text[position]!r}, which is not served here")
        pieces.append(_piece(match))
        position = match.end()
    return pieces


def _piece(match: re.Match[str]) -> _Piece:
    least, most = _repetition(match)
    if match["any"]:
        return None, True, least, most
    if match["set"]:
        return _set_of(match["set"]), not match["not"], least, most
    return frozenset((match["escaped"] or match["plain"]).lower()), True, least, most


def _repetition(match: re.Match[str]) -> tuple[int, int | None]:
    simple: dict[str | None, tuple[int, int | None]] = {None: (1, 1), "*": (0, None), "+": (1, None), "?": (0, 1)}
    if match["repeat"] in simple:
        return simple[match["repeat"]]
    least = int(match["least"])
    if match["comma"] is None:
        return least, least
    return least, int(match["most"]) if match["most"] else None


def _set_of(text: str) -> frozenset[str]:
    found: set[str] = set()
    for match in re.finditer(r"\\(.)|(.)-(.)|(.)", text):
        if match[2]:
            found.update(chr(code) for code in range(ord(match[2]), min(ord(match[3]), 0x2FF) + 1))
        else:
            found.add(match[1] or match[4])
    return frozenset(character.lower() for character in found)


class _Automaton:
    """Matches a pattern against whole words. A state is (piece, how often it fitted, counted up to what matters)."""

    def __init__(self, pieces: list[_Piece]) -> None:
        if sum(max(least, most or 0) for _, _, least, most in pieces) > _MAX_STATES:
            raise _fault("the pattern is too large")
        self._pieces = pieces

    def fits(self, word: str) -> bool:
        states = self._reachable({(0, 0)})
        for character in word:
            states = self._reachable(self._step(states, character))
        return (len(self._pieces), 0) in states

    def _step(self, states: set[tuple[int, int]], character: str) -> set[tuple[int, int]]:
        following = set()
        for index, fitted in states:
            if index == len(self._pieces):
                continue
            characters, positive, least, most = self._pieces[index]
            if characters is not None and (character in characters) is not positive:
                continue
            if most is None or fitted < most:
                following.add((index, fitted + 1 if most is not None else min(fitted + 1, least)))
        return following

    def _reachable(self, states: set[tuple[int, int]]) -> set[tuple[int, int]]:
        found = set(states)
        pending = list(states)
        while pending:
            index, fitted = pending.pop()
            if index < len(self._pieces) and fitted >= self._pieces[index][2] and (index + 1, 0) not in found:
                found.add((index + 1, 0))
                pending.append((index + 1, 0))
        return found
