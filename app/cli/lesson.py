"""Runs `docs/lesson.md`: the requests that stand in it are sent, and the answers must be the ones that stand there.

A fenced block ``http`` is a request: the request line, headers, an empty line and the body. The ``json`` block after
it is the expected answer: its info string gives the status, and ``eventually`` where the request is repeated until
the answer fits, and ``values`` where the answer is an object by ids that nobody knows before: its values are compared,
as an array. An expected object may leave members out. ``{{name}}`` stands for a value of the demo or of an
earlier answer; a name that is not known yet is bound to whatever the answer has in its place.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from rich.console import Console

from app.errors import InternalError

PATIENCE_S = 60.0
PAUSE_S = 0.1

_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_NAME = re.compile(r"\{\{([\w.]+)\}\}")


class LessonError(InternalError):
    """An answer is not the one that the lesson shows."""

    code = "LESSON_FAILED"
    title = "The lesson failed"


@dataclass(frozen=True, slots=True)
class Step:
    """One request of the lesson and the answer that it must get."""

    heading: str
    request: str
    status: int
    eventually: bool
    expected: Any
    values: bool = False


@dataclass(slots=True)
class _Lesson:
    base_url: str
    values: dict[str, str] = field(default_factory=dict)


def steps_of(markdown: str) -> Iterator[Step]:
    """Yield the steps of a lesson. Raises `LessonError` for a request without an answer."""
    headings = [(match.start(), match.group(1)) for match in _HEADING.finditer(markdown)]
    request: str | None = None
    heading = ""
    for match in _FENCE.finditer(markdown):
        language, info, text = match.groups()
        if language == "http":
            request = text
            heading = next((title for start, title in reversed(headings) if start < match.start()), "")
        elif language == "json" and request is not None:
            words = info.split()
            yield Step(
                heading, request, int(words[0]), "eventually" in words, json.loads(text), values="values" in words
            )
            request = None
    if request is not None:
        raise LessonError(f"The request under “{heading}” has no answer after it.")


async def walk(markdown: str, ready: dict[str, Any], console: Console | None = None) -> None:
    """Walk through a lesson for every tenant of the ready file. Raises `LessonError` at the first wrong answer."""
    steps = list(steps_of(markdown))
    async with httpx.AsyncClient(timeout=30) as http:
        for tenant in ready["tenants"]:
            state = _Lesson(ready["gateway_url"], _values(ready, tenant))
            for step in steps:
                await _take(http, state, step)
            if console is not None:
                console.print(f"The lesson ran for {tenant['slug']}: {len(steps)} requests, every answer as written.")


def _values(ready: dict[str, Any], tenant: dict[str, Any]) -> dict[str, str]:
    """Return what placeholders may name at the start of a lesson."""
    other = next(one for one in ready["tenants"] if one["slug"] != tenant["slug"])
    values = {
        "emulator": ready["emulator_url"],
        "slug": tenant["slug"],
        "org_id": tenant["org_id"],
        "namespace": tenant["namespace"],
        "sandbox": tenant["sandboxes"][0],
        "aep.client_id": tenant["aep"]["client_id"],
        "aep.client_secret": tenant["aep"]["client_secret"],
        "integration.name": tenant["integrations"][0]["name"],
        "integration.client_id": tenant["integrations"][0]["client_id"],
        "integration.client_secret": tenant["integrations"][0]["client_secret"],
        "other.org_id": other["org_id"],
        "other.slug": other["slug"],
    }
    for prefix, people in (("", tenant["people"]), ("other.", other["people"])):
        for person in people:
            name = person["email"].partition("@")[0]
            values[f"{prefix}{name}.access_key"] = person["access_key"]
            values[f"{prefix}{name}.email"] = person["email"]
    return values


async def _take(http: httpx.AsyncClient, lesson: _Lesson, step: Step) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        response = await _send(http, lesson, step.request)
        bound = dict(lesson.values)
        problem = _mismatch(step, response, bound)
        if problem is None:
            lesson.values = bound
            return
        if not step.eventually or asyncio.get_running_loop().time() > deadline:
            raise LessonError(f"“{step.heading}” for {lesson.values['slug']}: {problem}. The answer: {response.text}")
        await asyncio.sleep(PAUSE_S)


async def _send(http: httpx.AsyncClient, lesson: _Lesson, request: str) -> httpx.Response:
    head, _, body = _fill(request, lesson.values).partition("\n\n")
    first, *lines = head.splitlines()
    method, _, target = first.partition(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    url = target if target.startswith("http") else lesson.base_url + target
    return await http.request(method, url, headers=headers, content=body.strip().encode() or None)


def _fill(text: str, values: dict[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        try:
            return values[match.group(1)]
        except KeyError:
            raise LessonError(f"The lesson names {match.group(0)} before anything gave it a value.") from None

    return _NAME.sub(value, text)


def _mismatch(step: Step, response: httpx.Response, values: dict[str, str]) -> str | None:
    if response.status_code != step.status:
        return f"status {response.status_code} instead of {step.status}"
    try:
        answer = response.json() if response.content else None
    except ValueError:
        return "the answer is not JSON"
    if step.values and isinstance(answer, dict):
        answer = list(answer.values())
    return _difference(step.expected, answer, values, "")


def _difference(expected: Any, found: Any, values: dict[str, str], place: str) -> str | None:
    """Return the first place where ``found`` lacks what is expected; binds new names in ``values``."""
    if isinstance(expected, dict) and isinstance(found, dict):
        named = [(_fill(key, values), value) for key, value in expected.items()]
        pairs = [(f"{place}.{key}", value, found.get(key)) for key, value in named]
        return _first_difference(pairs, values)
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = [(f"{place}[{i}]", *pair) for i, pair in enumerate(zip(expected, found, strict=True))]
        return _first_difference(pairs, values)
    if isinstance(expected, str):
        whole = _NAME.fullmatch(expected)
        if whole and whole.group(1) not in values and found is not None:
            values[whole.group(1)] = str(found)
            return None
        expected = _fill(expected, values)
        if whole:
            found = str(found)
    return None if expected == found else f"at {place or 'the top'}: {found!r} instead of {expected!r}"


def _first_difference(pairs: list[tuple[str, Any, Any]], values: dict[str, str]) -> str | None:
    for place, expected, found in pairs:
        if problem := _difference(expected, found, values, place):
            return problem
    return None
