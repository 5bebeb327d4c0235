"""Tokens to tree: recursive descent with one function for each level of precedence, in linear time.

Lowest first: ``or``, ``and``, ``not``, relations (which do not chain), ``+ -``, ``* / %``, unary ``-``, postfix,
primary. ``select``, quantifiers, ``let`` and lambdas take everything to their right.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal, NoReturn, cast

from app.pql import ast, lexer
from app.pql.ast import Expr
from app.pql.diagnostics import error, rejection
from app.pql.lexer import Token, tokenize
from app.pql.spans import Span

MAX_DEPTH = 64

_INTEGER_LIMIT = 2**63
_COMPARATORS: Final = frozenset({"=", "!=", "<", "<=", ">", ">="})
_WORD_COMPARATORS: Final = {"in": "in", "notin": "notIn", "like": "like"}
_ARITHMETIC_LEVELS: Final = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2}
_AGGREGATES: Final = frozenset({"sum", "average", "min", "max"})
_QUANTIFIERS: Final = frozenset({"exists", "forall", "some", "all", "none", "one"})
_TIME_WORDS: Final = frozenset({"now", "today", "yesterday", "tomorrow"})
_CALENDAR_WORDS: Final = frozenset({"this", "last", "next"})
UNITS: Final = {
    **{unit: unit for unit in ast.UNITS},
    **{f"{unit}s": unit for unit in ast.UNITS if unit not in {"century", "millennium"}},
    "centuries": "century",
    "millennia": "millennium",
}

OPERATOR_WORDS: Final = frozenset(
    {"and", "or", "not", "in", "notin", "like", "occurs", "where", "from", "over", "between", "before", "after", "on"}
)
"""Words that never begin an operand; a field of such a name is written in back quotes."""

RESERVED_WORDS: Final = (
    OPERATOR_WORDS
    | {"true", "false", "select", "let", "chain", "ignoreyear"}
    | _AGGREGATES
    | _QUANTIFIERS
    | _TIME_WORDS
    | _CALENDAR_WORDS
)
"""Words that the formatter puts in back quotes at the start of a path."""

_NAME_KINDS: Final = frozenset({lexer.NAME, lexer.QUOTED_NAME})
_OPERAND_KINDS: Final = _NAME_KINDS | {
    lexer.STRING,
    lexer.INTEGER,
    lexer.DOUBLE,
    lexer.PARAMETER,
    lexer.CLASS_REFERENCE,
    "^",
    "(",
}


def parse(text: str) -> ast.Query:
    """Return the tree of the rule in ``text``.

    Raises:
        PQLError: the text is not a rule. Its one diagnostic says where, what was expected, and what to do.

    """
    return Parser(text).query()


class Parser:
    """One pass over the tokens of one text. ``_token`` is the next one that was not taken yet."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokenize(text)
        self._index = 0
        self._token = self._tokens[0]
        self._depth = 0
        self._deepest = 0
        self._left_nested = 0

    # The whole rule

    def query(self) -> ast.Query:
        """Return the rule; every token must belong to it."""
        try:
            body = self._expression()
        except RecursionError:
            self._too_deep(self._token.span)
        if self._token.kind != lexer.END:
            self._unexpected("the end of the rule, or an operator such as `and`")
        if self._deepest + self._left_nested > MAX_DEPTH // 4 and ast.height(body) > MAX_DEPTH:
            self._too_deep(body.span)
        if isinstance(body, ast.Lambda):
            return ast.Query(self._text, body.body, body.parameters)
        return ast.Query(self._text, body)

    def _expression(self) -> Expr:
        start = self._enter()
        token = self._token
        if token.kind == "(" and self._lambda_ahead():
            result: Expr = self._lambda()
        elif token.word == "let" and self._peek().kind in _NAME_KINDS and self._peek(2).kind == "=":
            result = self._let()
        else:
            result = self._or()
        self._depth = start
        return result

    def _lambda_ahead(self) -> bool:
        """Tell whether ``(`` opens the names of a lambda. Reads names and commas only, so every token at most once."""
        index = self._index + 1
        while self._tokens[index].kind in _NAME_KINDS:
            index += 1
            if self._tokens[index].kind == ")":
                return self._tokens[index + 1].kind == "=>"
            if self._tokens[index].kind != ",":
                return False
            index += 1
        return False

    def _lambda(self) -> ast.Lambda:
        opening = self._advance()
        names = [self._name("the name of a parameter")]
        while self._take(","):
            names.append(self._name("the name of a parameter"))
        self._expect(")")
        self._expect("=>")
        for name in names:
            if sum(other.value == name.value for other in names) > 1:
                self._fail("duplicate-name", f"The parameter `{name.value}` is named twice.", name.span)
        body = self._expression()
        return ast.Lambda(tuple(name.value for name in names), body, span=self._since(opening.span.start))

    def _let(self) -> ast.Let:
        start = self._advance()
        name = self._name("the name that `let` gives")
        self._expect("=")
        value = self._comprehension() if self._comprehension_ahead() else self._arithmetic()
        if self._token.word != "in":
            hint = "Put a comparison in parentheses: let B = (a = b) in ..."
            self._unexpected("`in`, which ends the value of `let`", hint)
        self._advance()
        body = self._expression()
        return ast.Let(name.value, value, body, span=self._since(start.span.start))

    # Logic

    def _or(self) -> Expr:
        return self._logical("or", self._and)

    def _and(self) -> Expr:
        return self._logical("and", self._not)

    def _logical(self, operator: ast.LogicalOperator, operand: Callable[[], Expr]) -> Expr:
        start = self._token.span.start
        first = operand()
        if self._token.word != operator:
            return first
        operands = _same_kind(operator, first)
        while self._token.word == operator:
            self._advance()
            operands.extend(_same_kind(operator, operand()))
        return ast.Logical(operator, tuple(operands), span=self._since(start))

    def _not(self) -> Expr:
        token = self._token
        if token.word == "not" or token.kind == "!":
            start = self._enter()
            self._advance()
            operand = self._not()
            self._depth = start
            return ast.Not(operand, span=self._since(token.span.start))
        if token.word == "select" and self._binding_ahead(1):
            return self._select()
        if token.word in _QUANTIFIERS and self._binding_ahead(1):
            return self._quantified()
        if self._comprehension_ahead():
            return self._comprehension()
        return self._relation()

    def _relation(self) -> Expr:
        start = self._token.span.start
        left = self._arithmetic()
        token = self._token
        operator = token.kind if token.kind in _COMPARATORS else _WORD_COMPARATORS.get(token.word)
        if token.word == "occurs":
            self._advance()
            test = self._time_test()
            result: Expr = ast.Occurs(left, test, span=self._since(start))
        elif operator is not None:
            self._advance()
            right = self._arithmetic()
            kind = cast("ast.ComparisonOperator", operator)
            result = ast.Comparison(kind, left, right, span=self._since(start))
        else:
            return left
        after = self._token
        if after.kind in _COMPARATORS or after.word in _WORD_COMPARATORS or after.word == "occurs":
            hint = "Comparisons do not chain: write `a < b and b < c`."
            self._fail("chained-comparison", f"`{after.value}` cannot follow a comparison.", after.span, hint)
        return result

    # Arithmetic

    def _arithmetic(self, level: int = 1) -> Expr:
        start = self._token.span.start
        left = self._unary()
        while (operator := self._token.kind) in _ARITHMETIC_LEVELS and _ARITHMETIC_LEVELS[operator] >= level:
            self._advance()
            right = self._arithmetic(_ARITHMETIC_LEVELS[operator] + 1)
            self._left_nested += 1
            kind = cast("ast.ArithmeticOperator", operator)
            left = ast.Arithmetic(kind, left, right, span=self._since(start))
        return left

    def _unary(self) -> Expr:
        if self._token.kind != "-":
            return self._postfix()
        start = self._enter()
        minus = self._advance()
        if self._token.kind == lexer.INTEGER and self._peek().kind not in {".", "["}:
            self._depth = start
            return self._integer(minus)
        operand = self._unary()
        self._depth = start
        span = self._since(minus.span.start)
        match operand:
            case ast.IntegerLiteral(value):
                return ast.IntegerLiteral(self._in_range(-value, span), span=span)
            case ast.DoubleLiteral(value):
                return ast.DoubleLiteral(-value, span=span)
        return ast.Negation(operand, span=span)

    # Postfix

    def _postfix(self) -> Expr:
        start = self._token.span.start
        result = self._primary()
        while True:
            kind = self._token.kind
            if kind == ".":
                self._advance()
                result = self._member(result, start)
            elif kind == "[":
                result = self._bracket(result, start)
            else:
                break
        return result

    def _member(self, base: Expr, start: int) -> Expr:
        name = self._name("the name of a field or method")
        relation = self._relation_class()
        if self._token.kind == "(" and relation is None:
            return self._method(base, name, start)
        span = name.span if relation is None else name.span.to(relation.span)
        step = ast.Step(name.value, relation.value if relation else None, span=span)
        if isinstance(base, ast.Path):
            return ast.Path(base.base, (*base.steps, step), span=Span(start, span.end))
        return ast.Path(base, (step,), span=Span(start, span.end))

    def _method(self, base: Expr, name: Token, start: int) -> Expr:
        arguments, closing = self._arguments()
        self._left_nested += 1
        span = Span(start, closing.span.end)
        if name.value == "filter" and len(arguments) == 1 and not isinstance(arguments[0], ast.Lambda):
            return ast.Filter(base, arguments[0], span=span)
        return ast.MethodCall(base, name.value, arguments, name_span=name.span, span=span)

    def _bracket(self, base: Expr, start: int) -> Expr:
        self._advance()
        self._left_nested += 1
        if self._token.kind == "*":
            self._fail(
                "wildcard", "PQL has no wildcards.", self._token.span, "Leave the filter out to keep every item."
            )
        condition = self._expression()
        if isinstance(condition, ast.IntegerLiteral):
            hint = "Use `.head()` for the first item, after `.topN(...)` for a given order."
            self._fail("positional-access", "An array has no access by position.", condition.span, hint)
        closing = self._expect("]")
        return ast.Filter(base, condition, span=Span(start, closing.span.end))

    def _arguments(self) -> tuple[tuple[Expr, ...], Token]:
        self._expect("(")
        arguments: list[Expr] = []
        if self._token.kind != ")":
            arguments.append(self._expression())
            while self._take(","):
                arguments.append(self._expression())
        return tuple(arguments), self._expect(")")

    def _relation_class(self) -> Token | None:
        return self._advance() if self._token.kind == lexer.CLASS_REFERENCE else None

    # Primary

    def _primary(self) -> Expr:
        token = self._token
        if token.kind == lexer.NAME:
            return self._word()
        reader = _PRIMARY_READERS.get(token.kind)
        if reader is None:
            self._unexpected("a value: a path, a literal, `(`, `[` or a function")
        return reader(self)

    def _word(self) -> Expr:
        """Read a primary that begins with a plain name, which may be a keyword here."""
        token, following = self._token, self._peek()
        word = token.word
        if word in {"true", "false"} and following.kind != "(":
            self._advance()
            return ast.BooleanLiteral(word == "true", span=token.span)
        if word == "chain" and following.kind == "(":
            return self._chain()
        if word in _TIME_WORDS and following.kind != "(":
            self._advance()
            return ast.TimeWord(cast("Literal['now']", word), span=token.span)
        if word in _CALENDAR_WORDS:
            if following.word in UNITS:
                self._advance()
                unit = self._advance()
                which = cast("Literal['this']", word)
                return ast.CalendarPeriod(which, UNITS[unit.word], span=token.span.to(unit.span))
            if word == "this":
                self._advance()
                return ast.This(span=token.span)
        if word in OPERATOR_WORDS or (word == "select" and following.kind != "."):
            hint = f"A field of this name at the start of a path is written `` `{token.value}` ``."
            self._unexpected("a value: a path, a literal, `(`, `[` or a function", hint)
        return self._named()

    def _named(self) -> Expr:
        token = self._advance()
        if self._token.kind == "(":
            arguments, closing = self._arguments()
            call = ast.Call(token.value, arguments, span=token.span.to(closing.span))
            if token.word in _AGGREGATES and len(arguments) == 1 and self._token.word == "over":
                return self._over(cast("Literal['sum']", token.word), token, arguments[0])
            return call
        relation = self._relation_class()
        span = token.span if relation is None else token.span.to(relation.span)
        return ast.Name(token.value, relation.value if relation else None, span=span)

    def _string(self) -> Expr:
        token = self._advance()
        return ast.StringLiteral(token.value, span=token.span)

    def _integer(self, minus: Token | None = None) -> Expr:
        """Read an integer; a minus directly before it is part of it, so that the lowest of 64 bits can be written."""
        token = self._advance()
        span = minus.span.to(token.span) if minus else token.span
        digits = token.value.lstrip("0") or "0"
        value = int(digits) if len(digits) <= 19 else _INTEGER_LIMIT + 1
        return ast.IntegerLiteral(self._in_range(-value if minus else value, span), span=span)

    def _in_range(self, value: int, span: Span) -> int:
        if not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
            hint = "Write a double, such as 1.5e20."
            self._fail("integer-range", "This integer does not fit into 64 bits.", span, hint)
        return value

    def _double(self) -> Expr:
        token = self._advance()
        value = float(token.value)
        if math.isinf(value):
            self._fail("double-range", "This number is too large for a double.", token.span)
        return ast.DoubleLiteral(value, span=token.span)

    def _parameter(self) -> Expr:
        token = self._advance()
        number = int(token.value[:6])
        if not 1 <= number <= 99:
            self._fail("parameter", "Parameters are counted from $1.", token.span)
        return ast.Parameter(number, span=token.span)

    def _class_reference(self) -> Expr:
        token = self._advance()
        class_name, separator, version = token.value.partition(";")
        key, _, number = version.replace(" ", "").partition("=")
        if separator and (key != "version" or not number.isdecimal() or len(number) > 9):
            hint = "A class reference reads @{class.name} or @{class.name;version=1}."
            self._fail("class-reference", "What follows `;` is not a version.", token.span, hint)
        return ast.ClassReference(class_name.strip(), int(number) if separator else None, span=token.span)

    def _up(self) -> Expr:
        first = self._advance()
        levels, last = 1, first
        while self._token.kind == "^":
            last = self._advance()
            levels += 1
        base = ast.Up(levels, span=first.span.to(last.span))
        plain_name = self._token.kind in _NAME_KINDS and self._token.word not in OPERATOR_WORDS
        return self._member(base, first.span.start) if plain_name else base

    def _parenthesised(self) -> Expr:
        self._advance()
        inner = self._expression()
        self._expect(")")
        return inner

    def _list(self) -> Expr:
        opening = self._advance()
        items: list[Expr] = []
        if self._token.kind != "]":
            items.append(self._expression())
            while self._take(","):
                items.append(self._expression())
        closing = self._expect("]")
        return ast.ListExpr(tuple(items), span=opening.span.to(closing.span))

    def _object(self) -> Expr:
        opening = self._advance()
        members: dict[str, Expr] = {}
        while self._token.kind != "}":
            if members:
                self._expect(",")
            key = self._token
            if key.kind != lexer.STRING:
                placeholder = "A placeholder in braces must be replaced. " if key.kind in _NAME_KINDS else ""
                self._unexpected(
                    "a key in double quotes", f'{placeholder}Keys are strings: {{"orders": this.count()}}.'
                )
            self._advance()
            if key.value in members:
                self._fail("duplicate-key", f'The key "{key.value}" is there twice.', key.span)
            self._expect(":")
            members[key.value] = self._expression()
        closing = self._advance()
        return ast.ObjectExpr(tuple(members.items()), span=opening.span.to(closing.span))

    # Bindings

    def _binding_ahead(self, offset: int) -> bool:
        return self._peek(offset).kind in _NAME_KINDS and self._peek(offset + 1).word == "from"

    def _bindings(self) -> tuple[ast.Binding, ...]:
        bindings = [self._binding()]
        while self._token.kind == "," and self._binding_ahead(1):
            self._advance()
            bindings.append(self._binding())
        return tuple(bindings)

    def _binding(self) -> ast.Binding:
        start = self._enter()
        name = self._name("the name of a variable")
        if self._token.word != "from":
            self._unexpected("`from`", "A binding reads: E from xEvent where ...")
        self._advance()
        source = self._postfix()
        where: Expr | None = None
        if self._token.word == "where" or self._token.kind == ":":
            self._advance()
            where = self._or()
        self._depth = start
        return ast.Binding(name.value, source, where, span=self._since(name.span.start))

    def _select(self) -> ast.Select:
        start = self._advance()
        bindings = self._bindings()
        return ast.Select(bindings, span=self._since(start.span.start))

    def _quantified(self) -> Expr:
        start = self._advance()
        bindings = self._bindings()
        span = self._since(start.span.start)
        match start.word:
            case "none":
                return ast.Not(ast.Quantified("exists", bindings, span=span), span=span)
            case "one":
                tuples = ast.MethodCall(ast.Select(bindings, span=span), "count", (), name_span=start.span, span=span)
                return ast.Comparison("=", tuples, ast.IntegerLiteral(1, span=start.span), span=span)
            case "forall" | "all":
                return ast.Quantified("forall", bindings, span=span)
        return ast.Quantified("exists", bindings, span=span)

    def _comprehension_ahead(self) -> bool:
        """Tell whether an aggregate's name is followed by an operand, so that it cannot be a field."""
        if self._token.word not in _AGGREGATES:
            return False
        following = self._peek()
        if following.kind == "(":
            return False  # sum(x) over ... is seen as a call until `over` shows up
        return following.kind in _OPERAND_KINDS and following.word not in OPERATOR_WORDS

    def _comprehension(self) -> Expr:
        start = self._advance()
        value = self._arithmetic()
        if self._token.word != "over":
            self._unexpected("`over`", f"It reads: {start.word} E.value over E from xEvent where ...")
        return self._over(cast("Literal['sum']", start.word), start, value)

    def _over(self, function: Literal["sum", "average", "min", "max"], start: Token, value: Expr) -> Expr:
        self._advance()
        bindings = self._bindings()
        return ast.Comprehension(function, value, bindings, span=self._since(start.span.start))

    # Time

    def _time_test(self) -> ast.TimeTest:
        token = self._token
        if token.word == "ignoreyear":
            self._advance()
            test = self._plain_time_test()
            return ast.IgnoreYear(test, span=token.span.to(test.span))
        return self._plain_time_test()

    def _plain_time_test(self) -> ast.Within | ast.Beyond | ast.Between | ast.During:
        token = self._token
        if token.kind in _COMPARATORS:
            return self._within()
        if token.word in {"before", "after"}:
            self._advance()
            reference = self._arithmetic()
            direction = cast("Literal['before', 'after']", token.word)
            return ast.Beyond(direction, reference, span=token.span.to(reference.span))
        if token.word == "between":
            self._advance()
            start = self._arithmetic()
            if self._token.word != "and":
                self._unexpected("`and` and the end of the period", "It reads: between date(2024, 6, 1) and yesterday")
            self._advance()
            end = self._arithmetic()
            return ast.Between(start, end, span=token.span.to(end.span))
        if token.word == "on":
            self._advance()
        period = self._arithmetic()
        return ast.During(period, span=token.span.to(period.span))

    def _within(self) -> ast.Within:
        comparator = self._advance()
        duration = self._duration()
        direction = self._token
        if direction.word not in {"before", "after", "from"}:
            self._unexpected("`before`, `after` or `from`", "It reads: occurs <= 14 days before now")
        self._advance()
        reference = self._arithmetic()
        return ast.Within(
            cast("ast.Comparator", comparator.kind),
            duration,
            cast("ast.Direction", direction.word),
            reference,
            span=comparator.span.to(reference.span),
        )

    def _duration(self) -> ast.Duration:
        number = self._token
        if number.kind != lexer.INTEGER:
            self._unexpected("a whole number", "A duration reads: 14 days")
        count = self._integer()
        unit = self._token
        if unit.word not in UNITS:
            self._unexpected("a unit of time", "The units are " + ", ".join(f"{one}s" for one in ast.UNITS[:8]) + ".")
        self._advance()
        value = cast("ast.IntegerLiteral", count).value
        return ast.Duration(value, UNITS[unit.word], span=number.span.to(unit.span))

    # Chains

    def _chain(self) -> ast.Chain:
        start = self._advance()
        self._expect("(")
        collection = self._postfix()
        self._expect(",")
        order_by = [self._name("the field that orders the events, such as timestamp").value]
        while self._take("."):
            order_by.append(self._name("the name of a field").value)
        self._expect(",")
        self._expect("[")
        links = [self._link()]
        while self._take(","):
            links.append(self._link())
        self._expect("]")
        closing = self._expect(")")
        return ast.Chain(collection, tuple(order_by), tuple(links), span=start.span.to(closing.span))

    def _link(self) -> ast.Element | ast.Gap:
        if self._token.word == "gap" and self._peek().kind == "(":
            return self._gap()
        return self._element()

    def _gap(self) -> ast.Gap:
        start = self._advance()
        self._expect("(")
        comparator = self._token
        if comparator.kind not in _COMPARATORS:
            self._unexpected("a comparison", "A gap reads: GAP(<= 2 hours)")
        self._advance()
        duration = self._duration()
        closing = self._expect(")")
        kind = cast("ast.Comparator", comparator.kind)
        return ast.Gap(kind, duration, span=start.span.to(closing.span))

    def _element(self) -> ast.Element:
        first = self._token
        negated = self._take("!") is not None
        name = self._name("the label of an element, such as C0")
        self._expect(":")
        if self._token.kind == "!" or self._token.word == "not":
            negated = True
            self._advance()
        if self._token.word != "what":
            self._unexpected("`WHAT(...)`", 'An element reads: C0: WHAT(eventType = "commerce.purchases") WHEN(today)')
        what, last = self._enclosed_condition()
        conditions, when, count = [what], None, None
        while self._token.word in {"where", "when", "count"}:
            modifier = self._token
            if modifier.word == "where":
                condition, last = self._enclosed_condition()
                conditions.append(condition)
            elif modifier.word == "when" and when is None:
                when, last = self._when()
            elif modifier.word == "count" and count is None:
                count, last = self._count()
            else:
                self._fail("duplicate-modifier", f"{modifier.value.upper()} is there twice.", modifier.span)
        span = first.span.to(last.span)
        return ast.Element(name.value, _conjunction(conditions), when, count or ast.Count(), negated, span=span)

    def _enclosed_condition(self) -> tuple[Expr, Token]:
        self._advance()
        self._expect("(")
        if self._token.kind == "*":
            self._fail("wildcard", "PQL has no wildcards.", self._token.span, "For any event write WHAT(true).")
        condition = self._expression()
        return condition, self._expect(")")

    def _when(self) -> tuple[ast.TimeTest, Token]:
        self._advance()
        self._expect("(")
        test = self._time_test()
        return test, self._expect(")")

    def _count(self) -> tuple[ast.Count, Token]:
        start = self._advance()
        self._expect("(")
        count = self._count_range(start)
        return count, self._expect(")")

    def _count_range(self, start: Token) -> ast.Count:
        token = self._token
        if token.word == "all":
            self._advance()
            return ast.Count(None, None, every=True, span=start.span.to(token.span))
        if token.word == "between":
            self._advance()
            low = self._whole_number()
            if self._token.word != "and":
                self._unexpected("`and`", "It reads: COUNT(between 2 and 4)")
            self._advance()
            high = self._whole_number()
            return ast.Count(low, high, span=start.span.to(token.span))
        if token.kind not in _COMPARATORS:
            return ast.Count(self._whole_number(), None, span=start.span.to(token.span))
        if token.kind == "!=":
            hint = "Write one element for fewer and one for more, or use =, <, <=, >, >=."
            self._fail("count-range", "COUNT has no `!=`.", token.span, hint)
        comparator = self._advance()
        number = self._whole_number()
        if comparator.kind == "<" and number == 0:
            self._fail("count-range", "No count is less than 0.", comparator.span, "Write COUNT(= 0) for none.")
        low_bound, high_bound = {
            "=": (number, number),
            "<": (None, number - 1),
            "<=": (None, number),
            ">": (number + 1, None),
            ">=": (number, None),
        }[comparator.kind]
        return ast.Count(low_bound, high_bound, span=start.span.to(token.span))

    def _whole_number(self) -> int:
        if self._token.kind != lexer.INTEGER:
            self._unexpected("a whole number", "It reads: COUNT(2), COUNT(<= 3), COUNT(between 2 and 4) or COUNT(all)")
        return cast("ast.IntegerLiteral", self._integer()).value

    # Tokens

    def _peek(self, ahead: int = 1) -> Token:
        return self._tokens[min(self._index + ahead, len(self._tokens) - 1)]

    def _advance(self) -> Token:
        token = self._token
        if token.kind != lexer.END:
            self._index += 1
            self._token = self._tokens[self._index]
        return token

    def _since(self, start: int) -> Span:
        """Return the span from an offset to the end of the last token taken, its closing parentheses included."""
        return Span(start, self._tokens[self._index - 1].span.end)

    def _take(self, kind: str) -> Token | None:
        return self._advance() if self._token.kind == kind else None

    def _expect(self, kind: str) -> Token:
        if self._token.kind != kind:
            self._unexpected(f"`{kind}`")
        return self._advance()

    def _name(self, expected: str) -> Token:
        if self._token.kind not in _NAME_KINDS:
            if self._token.kind == "*":
                self._fail("wildcard", "PQL has no wildcards in paths.", self._token.span, "Name the field.")
            self._unexpected(expected)
        return self._advance()

    # Errors

    def _enter(self) -> int:
        """Go one level down; return the depth to restore."""
        depth = self._depth
        self._depth = depth + 1
        if self._depth > self._deepest:
            self._deepest = self._depth
            if self._depth > MAX_DEPTH:
                self._too_deep(self._token.span)
        return depth

    def _too_deep(self, span: Span) -> NoReturn:
        hint = "Flatten the rule, or move a part of it into a segment of its own and refer to it with inSegment."
        self._fail("too-deep", f"The rule is nested more than {MAX_DEPTH} levels deep.", span, hint)

    def _unexpected(self, expected: str, hint: str | None = None) -> NoReturn:
        token = self._token
        found = "the rule ends" if token.kind == lexer.END else f"`{self._text[slice(*token.span)]}` stands"
        if len(found) > 60:
            found = found[:50] + "...` stands"
        if hint is None and token.kind in {"<", ">", "{", "}"}:
            hint = "A placeholder such as <Name> or {NAME} must be replaced; brackets must be balanced."
        self._fail("unexpected-token", f"Expected {expected}, but {found} here.", token.span, hint)

    def _fail(self, code: str, message: str, span: Span, hint: str | None = None) -> NoReturn:
        raise rejection(self._text, [error(code, message, span, hint)])


_PRIMARY_READERS: Final[dict[str, Callable[[Parser], Expr]]] = {
    lexer.QUOTED_NAME: Parser._named,
    lexer.STRING: Parser._string,
    lexer.INTEGER: Parser._integer,
    lexer.DOUBLE: Parser._double,
    lexer.PARAMETER: Parser._parameter,
    lexer.CLASS_REFERENCE: Parser._class_reference,
    "^": Parser._up,
    "(": Parser._parenthesised,
    "[": Parser._list,
    "{": Parser._object,
}


def _same_kind(operator: ast.LogicalOperator, operand: Expr) -> list[Expr]:
    """Return the operands of an ``and`` within an ``and``, which hold no more than the outer one; so for ``or``."""
    if isinstance(operand, ast.Logical) and operand.operator == operator:
        return list(operand.operands)
    return [operand]


def _conjunction(conditions: list[Expr]) -> Expr:
    if len(conditions) == 1:
        return conditions[0]
    operands = [operand for condition in conditions for operand in _same_kind("and", condition)]
    return ast.Logical("and", tuple(operands), span=conditions[0].span.to(conditions[-1].span))
