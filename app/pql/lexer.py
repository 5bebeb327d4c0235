"""Text to tokens: one compiled pattern, one pass, linear time.

Keywords are not told apart here, because whether a word is one depends on where it stands; the parser looks at
`Token.word`, the word in lower case.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from app.pql.diagnostics import error, rejection
from app.pql.spans import Span

MAX_TEXT_BYTES = 64 * 1024

NAME = "name"
QUOTED_NAME = "quoted name"
STRING = "string"
INTEGER = "integer"
DOUBLE = "double"
CLASS_REFERENCE = "class reference"
PARAMETER = "parameter"
END = "end of the rule"


class Token(NamedTuple):
    """``kind`` is one of the constants above, or the operator itself. ``value`` is the text with quotes undone.

    ``word`` is the text in lower case for a plain name, which may be a keyword; otherwise it is empty.
    """

    kind: str
    value: str
    word: str
    span: Span


_TOKEN = re.compile(
    r"""
    [ \t\r\n]*+(?:
      (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<refused>\.\.\.|==|<>|&&|\|\||//|/\*|\#|--(?=\s)|['\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u00ab\u00bb])
    | (?P<operator>=>|!=|<=|>=|[=<>+\-*/%!^.,:()\[\]{}])
    | "(?P<string>[^"\\\r\n]*(?:\\.[^"\\\r\n]*)*)"
    | (?P<double>[0-9]+(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+))
    | (?P<integer>[0-9]+)
    | `(?P<quoted>[^`\r\n]*(?:``[^`\r\n]*)*)`
    | @\{(?P<class>[^{}\r\n]*)\}
    | \$(?P<parameter>[0-9]+)
    | (?P<end>\Z)
    | (?P<wrong>(?s:.))
    )
    """,
    re.VERBOSE,
)

_KINDS = {
    "string": (STRING, 1),
    "double": (DOUBLE, 0),
    "integer": (INTEGER, 0),
    "quoted": (QUOTED_NAME, 1),
    "class": (CLASS_REFERENCE, 2),
    "parameter": (PARAMETER, 1),
}
"""The kind of token that a group makes, and how many characters open it before what the group keeps."""

_REFUSED = {
    "...": ("placeholder", "`...` stands for something that was left out.", "Write the whole rule."),
    "==": ("wrong-operator", "`==` is not an operator of PQL.", "Write `=`."),
    "<>": ("wrong-operator", "`<>` is not an operator of PQL.", "Write `!=`."),
    "&&": ("wrong-operator", "`&&` is not an operator of PQL.", "Write `and`."),
    "||": ("wrong-operator", "`||` is not an operator of PQL.", "Write `or`."),
    "'": ("wrong-quote", "Single quotes do not make a string.", 'Write straight double quotes: "gold".'),
}
_COMMENT = ("comment", "PQL has no comments.", "Remove the comment.")
_TYPOGRAPHIC = ("wrong-quote", "Typographic quotes do not make a string.", 'Write straight double quotes: "gold".')

_UNFINISHED = {
    '"': (
        "unterminated-string",
        "This string does not end on its line.",
        'Close it with `"`; write a line break as \\n.',
    ),
    "`": ("unterminated-name", "This quoted name does not end on its line.", "Close it with a back quote."),
    "@": ("class-reference", "A class reference reads @{class.name}.", None),
    "$": ("parameter", "A parameter reads $1, $2 and so on.", None),
}

_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SIMPLE_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def tokenize(text: str) -> list[Token]:
    """Return the tokens of ``text``, the last of kind `END`.

    Raises:
        PQLError: the text is longer than 64 KB of UTF-8, or something in it is not a token.

    """
    if len(text) > MAX_TEXT_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        problem = error(
            "text-too-long", "The rule is longer than 64 KB.", Span(0, 0), "Split it into several segments."
        )
        raise rejection("", [problem])
    tokens: list[Token] = []
    append = tokens.append
    for found in _TOKEN.finditer(text):
        group = found.lastgroup or ""
        value, (start, end) = found[group], found.span(group)
        if group == "name":
            append(Token(NAME, value, value.lower(), Span(start, end)))
        elif group == "operator":
            append(Token(value, value, "", Span(start, end)))
        elif group in _KINDS:
            kind, opening = _KINDS[group]
            span = Span(start - opening, found.end())
            append(Token(kind, _value(text, group, value, span), "", span))
        elif group == "end":
            append(Token(END, "", "", Span(start, end)))
            break
        else:
            _refuse(text, start, value if group == "refused" else None)
    return tokens


def _value(text: str, group: str, raw: str, span: Span) -> str:
    """Return what a token stands for, with its quotes and escapes undone."""
    match group:
        case "string":
            value = _unescape(text, raw, span.start + 1) if "\\" in raw else raw
        case "quoted":
            value = raw.replace("``", "`")
            if not value:
                _fail(text, "empty-name", "A quoted name cannot be empty.", span)
        case _:
            return raw
    if _SURROGATE.search(value):
        _fail(text, "lone-surrogate", "Half of a surrogate pair is not a character.", span)
    return value


def _unescape(text: str, raw: str, base: int) -> str:
    def one(found: re.Match[str]) -> str:
        escape = found.group(1)
        if escape[0] == "u" and len(escape) == 5:
            return chr(int(escape[1:], 16))
        if escape not in _SIMPLE_ESCAPES:
            span = Span(base + found.start(), base + found.end())
            hint = f"Write a doubled backslash for the character itself: \\\\{escape}"
            _fail(text, "wrong-escape", f"`\\{escape}` is not an escape of PQL.", span, hint)
        return _SIMPLE_ESCAPES[escape]

    # Two \u escapes may spell one character beyond the basic plane; a half that stays alone is refused by the caller.
    return _SURROGATE_PAIR.sub(_joined, _ESCAPE.sub(one, raw))


def _joined(pair: re.Match[str]) -> str:
    return pair.group().encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def _refuse(text: str, offset: int, found: str | None = None) -> NoReturn:
    character = text[offset]
    if found is not None:
        code, message, hint = _REFUSED.get(found) or (_COMMENT if found[0] in "/#-" else _TYPOGRAPHIC)
        _fail(text, code, message, Span(offset, offset + len(found)), hint)
    if character in _UNFINISHED:
        code, message, unfinished_hint = _UNFINISHED[character]
        _fail(text, code, message, Span(offset, offset + 1), unfinished_hint)
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    operator = "Write `and`." if character == "&" else "Write `or`." if character == "|" else None
    hint = operator or "Names with other characters than letters, digits and _ are written in back quotes."
    _fail(text, "wrong-character", f"`{shown}` cannot stand here.", Span(offset, offset + 1), hint)


def _fail(text: str, code: str, message: str, span: Span, hint: str | None = None) -> NoReturn:
    raise rejection(text, [error(code, message, span, hint)])
