"""Regular expressions: the part of Java's syntax that means the same everywhere, spelled for each engine.

Adobe evaluates Java patterns; DuckDB has RE2 and the reference evaluator Python's `re`. A pattern is read here, and
what the three do not share (look-around, back references, possessive quantifiers, flags other than a leading ``(?i)``)
is refused, never approximated. What they share but read differently is spelled out: ``.`` leaves out all of Java's
line ends, ``\\w \\d \\s`` are ASCII, ``^`` and ``$`` are the very start and end of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import NoReturn

_MAX_LENGTH = 1000
_MAX_NESTING = 20
_MAX_REPEAT = 1000
_MAX_SIZE = 10_000

_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": r" \t\n\x0b\f\r"}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "a": "\a", "e": "\x1b"}
_LINE_ENDS = "\n\r\x85\u2028\u2029"
_WORD_BOUNDARY = r"(?:(?<=[A-Za-z0-9_])(?![A-Za-z0-9_])|(?<![A-Za-z0-9_])(?=[A-Za-z0-9_]))"
_QUANTIFIER = re.compile(r"[*+?]|\{([0-9]{1,5})(?:(,)([0-9]{0,5}))?\}")


class UnsupportedPattern(ValueError):
    """The pattern is not one that every engine reads alike. ``offset`` is where in the pattern."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern in three spellings. ``groups`` is the number of its capturing groups.

    ``optional_groups`` may take no part in what is found. RE2 gives an empty text for such a group, so one that may
    also take an empty text is among ``unclear_groups``.
    """

    source: str
    re2: str
    python: str
    groups: int
    optional_groups: frozenset[int] = frozenset()
    unclear_groups: frozenset[int] = frozenset()


@cache
def read_pattern(source: str) -> Pattern:
    """Return the pattern that ``source``, in Java's syntax, means.

    Raises:
        UnsupportedPattern: the pattern is malformed, too large, or has a part that RE2 and Python do not read alike.

    """
    return _Reader(source).pattern()


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece in two spellings; ``size`` is about how many states it costs an automaton.

    ``shortest`` is the length of the shortest text that it takes.
    """

    re2: str
    python: str
    size: int = 1
    repeatable: bool = True
    shortest: int = 1


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source
        self._offset = 0
        self._groups = 0
        self._nesting = 0
        self._optional: set[int] = set()
        self._may_be_empty: set[int] = set()

    def pattern(self) -> Pattern:
        if len(self._source) > _MAX_LENGTH:
            self._refuse(f"The pattern is longer than {_MAX_LENGTH} characters.")
        flags = "(?i)" if self._take("(?i)") else ""
        whole = self._alternatives()
        if self._offset < len(self._source):
            self._refuse("This `)` closes nothing.")
        unclear = frozenset(self._optional & self._may_be_empty)
        optional = frozenset(self._optional)
        return Pattern(self._source, flags + whole.re2, flags + whole.python, self._groups, optional, unclear)

    def _alternatives(self) -> _Part:
        groups = self._groups
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        if len(options) > 1:
            self._optional.update(range(groups + 1, self._groups + 1))
        return _Part(
            "|".join(o.re2 for o in options),
            "|".join(o.python for o in options),
            sum(o.size for o in options),
            shortest=min(o.shortest for o in options),
        )

    def _sequence(self) -> _Part:
        parts: list[_Part] = []
        while self._offset < len(self._source) and self._source[self._offset] not in "|)":
            groups = self._groups
            parts.append(self._repeated(self._atom(), groups))
        return _Part(
            "".join(p.re2 for p in parts),
            "".join(p.python for p in parts),
            sum(p.size for p in parts) + 1,
            shortest=sum(p.shortest for p in parts),
        )

    def _repeated(self, part: _Part, groups: int) -> _Part:
        """Read the quantifier after a piece; ``groups`` is the number of groups before the piece."""
        found = _QUANTIFIER.match(self._source, self._offset)
        if found is None:
            return part
        if not part.repeatable:
            self._refuse("An anchor cannot be repeated.")
        low, _comma, high = found.groups()
        times = max(int(low), int(high or 0)) if low else 1
        if times > _MAX_REPEAT or (high and int(high) < int(low)):
            self._refuse(f"A repetition goes from low to high, and to {_MAX_REPEAT} at most.")
        self._offset = found.end()
        text = found.group() + ("?" if self._take("?") else "")
        following = self._source[self._offset : self._offset + 1]
        if following and (following in "*+?" or _QUANTIFIER.match(self._source, self._offset)):
            self._refuse("Possessive and doubled quantifiers are not read alike by all engines.")
        size = part.size * max(times, 1) + 1
        if size > _MAX_SIZE:
            self._refuse("The pattern is too large once its repetitions are written out.")
        least = int(low) if low else int(found.group() == "+")
        if least == 0:
            self._optional.update(range(groups + 1, self._groups + 1))
        return _Part(part.re2 + text, part.python + text, size, shortest=part.shortest * least)

    def _atom(self) -> _Part:
        character = self._next()
        match character:
            case "(":
                return self._group()
            case "[":
                return self._character_class()
            case ".":
                ends = f"[^{_spell_class(_LINE_ENDS)}]"
                return _Part(ends, f"[^{_escape_python(_LINE_ENDS)}]")
            case "^":
                return _Part(r"\A", r"\A", repeatable=False, shortest=0)
            case "$":
                return _Part(r"\z", r"\Z", repeatable=False, shortest=0)
            case "\\":
                return self._escape()
            case "*" | "+" | "?" | "{" | "}" | "]":
                self._offset -= 1
                self._refuse(f"`{character}` stands for nothing here; write it as \\{character}.")
        return _literal(character)

    def _group(self) -> _Part:
        capturing = True
        if self._take("?"):
            named = re.compile(r"<[A-Za-z][A-Za-z0-9]*>").match(self._source, self._offset)
            if self._take(":"):
                capturing = False
            elif named:
                self._offset = named.end()
            else:
                self._refuse("Look-around and flags inside a pattern are not supported.")
        self._groups += capturing
        number = self._groups
        self._nesting += 1
        if self._nesting > _MAX_NESTING:
            self._refuse("The groups nest too deeply.")
        inner = self._alternatives()
        self._nesting -= 1
        if not self._take(")"):
            self._refuse("This group is not closed.")
        if capturing and inner.shortest == 0:
            self._may_be_empty.add(number)
        opening = "(" if capturing else "(?:"
        return _Part(f"{opening}{inner.re2})", f"{opening}{inner.python})", inner.size, shortest=inner.shortest)

    def _escape(self) -> _Part:
        character = self._next()
        lower = character.lower()
        if lower in _CLASSES and character.isascii():
            negated = "^" if character.isupper() else ""
            text = f"[{negated}{_CLASSES[lower]}]"
            return _Part(text, text)
        match character:
            case "b":
                return _Part(r"\b", _WORD_BOUNDARY, repeatable=False, shortest=0)
            case "A":
                return _Part(r"\A", r"\A", repeatable=False, shortest=0)
            case "z":
                return _Part(r"\z", r"\Z", repeatable=False, shortest=0)
        self._offset -= 1
        return _literal(self._escaped_character())

    def _escaped_character(self) -> str:
        """Read what follows a backslash and stands for one character."""
        character = self._next()
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character in "xu":
            digits = re.compile(r"[0-9a-fA-F]{2}" if character == "x" else r"[0-9a-fA-F]{4}")
            found = digits.match(self._source, self._offset)
            if found is None or ("d800" <= found.group().lower() <= "dfff" and len(found.group()) == 4):
                self._refuse("A character by its number reads \\x41 or \\u0041.")
            self._offset = found.end()
            return chr(int(found.group(), 16))
        if character.isascii() and character.isalnum():
            self._offset -= 2
            self._refuse(f"`\\{character}` is not read alike by all engines.")
        return character

    def _character_class(self) -> _Part:
        negated = "^" if self._take("^") else ""
        re2: list[str] = []
        python: list[str] = []
        while not self._take("]"):
            low = self._class_member()
            if len(low) > 1:
                re2.append(low)
                python.append(low)
                continue
            high = low
            if self._source.startswith("-", self._offset) and not self._source.startswith("-]", self._offset):
                self._offset += 1
                high = self._class_member()
                if len(high) > 1 or high < low:
                    self._refuse("A range goes from a lower character to a higher one.")
            re2.append(_spell_class(low) + (f"-{_spell_class(high)}" if high != low else ""))
            python.append(_escape_python(low) + (f"-{_escape_python(high)}" if high != low else ""))
        if not re2:
            self._refuse("A class of characters must not be empty.")
        return _Part(f"[{negated}{''.join(re2)}]", f"[{negated}{''.join(python)}]")

    def _class_member(self) -> str:
        """Read one character, or the inside of a class such as ``\\d``, which is longer than one character."""
        character = self._next()
        if character == "[" or self._source.startswith("&&", self._offset - 1):
            self._refuse("A class within a class is not read alike by all engines.")
        if character != "\\":
            return character
        if self._source[self._offset : self._offset + 1] in set(_CLASSES):
            return _CLASSES[self._next()]
        return self._escaped_character()

    def _next(self) -> str:
        if self._offset >= len(self._source):
            self._refuse("The pattern ends too early.")
        self._offset += 1
        return self._source[self._offset - 1]

    def _take(self, text: str) -> bool:
        taken = self._source.startswith(text, self._offset)
        self._offset += len(text) if taken else 0
        return taken

    def _refuse(self, message: str) -> NoReturn:
        raise UnsupportedPattern(message, self._offset)


def _literal(character: str) -> _Part:
    return _Part(_spell_class(character), _escape_python(character))


def _spell_class(characters: str) -> str:
    """Spell characters for RE2, inside or outside of a class."""
    return "".join(one if one.isalnum() and one.isascii() else f"\\x{{{ord(one):x}}}" for one in characters)


def _escape_python(characters: str) -> str:
    """Spell characters for Python, inside or outside of a class."""
    return "".join(one if one.isalnum() and one.isascii() else f"\\U{ord(one):08x}" for one in characters)
