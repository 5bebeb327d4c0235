"""Faults on demand: what can go wrong with a call, and the rules that say with which calls it does.

A rule names a fault, the calls that it fits, how many of them it hits and how likely. Rules are asked in the order in
which they were added: every fitting ``delay`` adds up, and the first fitting rule of another kind is the one that
acts. They live as long as the process, so a restart is a clean start. Whether a likely rule hits is drawn from its own
``seed``, so a sequence of calls meets the same faults each time.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal

import msgspec

from app.errors import InvalidRequest, NotFound

MAX_RULES: Final = 1000
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=600)]


class _Fault(msgspec.Struct, frozen=True, tag_field="kind", rename="camel", forbid_unknown_fields=True):
    pass


class RateLimit(_Fault, frozen=True, tag="rate_limit"):
    """429, nothing done. Without ``retryAfterSeconds`` there is no ``Retry-After``, which AEP does not promise."""

    retry_after_seconds: Seconds | None = None


class ServerError(_Fault, frozen=True, tag="server_error"):
    """A 5xx. With ``carriedOut`` the call was done all the same. ``body`` is ``service``, ``html`` or ``empty``."""

    status: Literal[500, 502, 503, 504] = 503
    carried_out: bool = False
    body: Literal["service", "html", "empty"] = "service"
    retry_after_seconds: Seconds | None = None


class Delay(_Fault, frozen=True, tag="delay"):
    """The call waits for ``seconds`` of real time, whatever the emulator's clock says, and then goes on."""

    seconds: Seconds


class CutBody(_Fault, frozen=True, tag="cut_body"):
    """The call is done, and the connection ends after ``share`` of its answer's body."""

    share: Share = 0.5


class WrongJSON(_Fault, frozen=True, tag="wrong_json"):
    """The call is done, and its answer is complete but no JSON."""


class ExpiredToken(_Fault, frozen=True, tag="expired_token"):
    """The token of the call is withdrawn for good: 401, nothing done, until the client fetches another token."""


class PartialJob(_Fault, frozen=True, tag="partial_job"):
    """The segment job or export job that the call creates breaks off after ``share`` of its work, and fails."""

    share: Share = 0.5


Fault = RateLimit | ServerError | Delay | CutBody | WrongJSON | ExpiredToken | PartialJob


class Match(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Which calls a rule fits; members that are left out fit all. ``path`` may hold ``*`` and ``?``."""

    method: str | None = None
    path: str = "*"
    organization: str | None = None
    sandbox: str | None = None


class FaultRule(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A fault and the calls that meet it: at most ``count`` of them (all without it), each with ``probability``."""

    fault: Fault
    match: Match = Match()
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    probability: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Subject:
    """What of a call rules look at."""

    method: str
    path: str
    organization: str
    sandbox: str

    def fits(self, match: Match) -> bool:
        """Tell whether a rule with this match is about the call."""
        return (
            (match.method is None or match.method.upper() == self.method)
            and fnmatchcase(self.path, match.path)
            and (match.organization is None or match.organization == self.organization)
            and (match.sandbox is None or match.sandbox == self.sandbox)
        )


@dataclass(slots=True)
class _Armed:
    """A rule at work."""

    id: str
    rule: FaultRule
    draws: random.Random
    hits: int = 0

    def hit(self) -> bool:
        if self.rule.count is not None and self.hits >= self.rule.count:
            return False
        if self.rule.probability < 1 and self.draws.random() >= self.rule.probability:
            return False
        self.hits += 1
        return True

    def document(self) -> dict[str, Any]:
        left = None if self.rule.count is None else self.rule.count - self.hits
        return {"id": self.id, **msgspec.to_builtins(self.rule), "hits": self.hits, "remaining": left}


@dataclass(slots=True)
class Faults:
    """The rules of an emulator."""

    _armed: dict[str, _Armed] = field(default_factory=dict)

    def add(self, rule: FaultRule) -> dict[str, Any]:
        """Add a rule after those that are there and return it with its id. Raises InvalidRequest beyond `MAX_RULES`."""
        if len(self._armed) >= MAX_RULES:
            raise InvalidRequest(f"There are {MAX_RULES} faults already", hint="Remove some with DELETE.")
        armed = _Armed(str(uuid.uuid4()), rule, random.Random(rule.seed))  # noqa: S311 - repeatable on purpose
        self._armed[armed.id] = armed
        return armed.document()

    def documents(self) -> list[dict[str, Any]]:
        """Return every rule with its id and how often it has acted."""
        return [armed.document() for armed in self._armed.values()]

    def document(self, rule_id: str) -> dict[str, Any]:
        """Return one rule. Raises NotFound."""
        if rule_id not in self._armed:
            raise NotFound(f"There is no fault {rule_id}")
        return self._armed[rule_id].document()

    def remove(self, rule_id: str) -> None:
        """Remove one rule. Raises NotFound."""
        if self._armed.pop(rule_id, None) is None:
            raise NotFound(f"There is no fault {rule_id}")

    def clear(self) -> None:
        """Remove every rule."""
        self._armed.clear()

    def draw(self, subject: Subject) -> list[Fault]:
        """Return what happens to a call: its delays, and at the end at most one other fault."""
        drawn: list[Fault] = []
        for armed in self._armed.values():
            if subject.fits(armed.rule.match) and armed.hit():
                drawn.append(armed.rule.fault)
                if not isinstance(armed.rule.fault, Delay):
                    break
        return drawn


def read_rule(body: Any) -> FaultRule:
    """Read a rule from JSON. Raises InvalidRequest that says where it is wrong."""
    try:
        return msgspec.convert(body, FaultRule)
    except msgspec.ValidationError as fault:
        raise InvalidRequest(
            f"The fault cannot be read: {fault}", hint=f"kind is one of {', '.join(_KINDS)}."
        ) from fault


def read_header(text: str) -> Fault:
    """Read a fault from a header: ``rate_limit; retryAfterSeconds=3``. Raises InvalidRequest."""
    kind, *parameters = (part.strip() for part in text.split(";"))
    members: dict[str, Any] = {"kind": kind}
    for name, sign, value in (one.partition("=") for one in parameters if one):
        if not sign:
            raise InvalidRequest(f"{name!r} must have the form name=value")
        members[name.strip()] = _value(value.strip())
    return read_rule({"fault": members}).fault


def _value(text: str) -> Any:
    """Return true, false and numbers as such, and everything else as text."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


_KINDS: Final[tuple[str, ...]] = tuple(
    str(kind.__struct_config__.tag)
    for kind in (RateLimit, ServerError, Delay, CutBody, WrongJSON, ExpiredToken, PartialJob)
)

_PARTIAL_SHARE: Final = "emulator.partial_job_share"


def mark_partial(scope: Mapping[str, Any], share: float) -> dict[str, Any]:
    """Return an ASGI scope whose job shall break off after a share of its work."""
    return {**scope, _PARTIAL_SHARE: share}


def partial_share(scope: Mapping[str, Any]) -> float | None:
    """Return after which share of its work the job of a call shall break off; None when it shall not."""
    return scope.get(_PARTIAL_SHARE)


def delay_of(drawn: Iterable[Fault]) -> float:
    """Return how many seconds a call waits in all."""
    return sum(fault.seconds for fault in drawn if isinstance(fault, Delay))
