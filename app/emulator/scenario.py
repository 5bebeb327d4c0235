"""Scenario files: which organizations, sandboxes, people and segments an emulator begins with.

A scenario is one JSON file; the files of records that it names lie beside it. Reading checks shapes and says in which
line something is wrong; what segments and records *mean* is checked when they are stored.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from app.context.permissions import Permission
from app.emulator.organizations import (
    DEFAULT_SCOPES,
    Credential,
    EmulatedSandbox,
    Organization,
    new_credential,
    org_id_of,
    stable_uuid,
)
from app.errors import InvalidRequest

Document = dict[str, Any]
Slug = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
OrgId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]{1,64}@AdobeOrg$")]
SandboxId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Namespace = Annotated[str, msgspec.Meta(pattern=r"^_[a-z0-9_]{1,62}$")]


class _Part(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    pass


class CredentialPart(_Part, frozen=True):
    """A technical account. Without a secret a new one is made; it then stands in ``organizations.json``."""

    client_id: str
    client_secret: str | None = None
    scopes: list[str] | None = None
    permissions: list[Permission] | None = None
    labels: list[str] | None = None


class SamplePart(_Part, frozen=True):
    """A generated sample of the shop's customers; with 0 profiles the sandbox begins empty."""

    profiles: Annotated[int, msgspec.Meta(ge=0, le=100_000_000)] = 0
    seed: int | None = None


class IdentityPart(_Part, frozen=True):
    """An identity of a profile."""

    namespace: str
    id: str


class MembershipPart(_Part, frozen=True):
    """Who is in a segment to begin with, named by one identity each."""

    segment: str
    realized: list[IdentityPart] = []


class SandboxPart(_Part, frozen=True):
    """One sandbox. ``profiles`` and ``events`` name files of records beside the scenario."""

    name: Slug
    title: str | None = None
    type: Literal["production", "development"] = "development"
    default: bool = False
    id: SandboxId | None = None
    sample: SamplePart = SamplePart()
    profiles: list[str] = []
    events: list[str] = []
    definitions: list[Document] = []
    audiences: list[Document] = []
    memberships: list[MembershipPart] = []


class OrganizationPart(_Part, frozen=True):
    """One organization."""

    slug: Slug
    sandboxes: Annotated[list[SandboxPart], msgspec.Meta(min_length=1)]
    org_id: OrgId | None = None
    namespace: Namespace | None = None
    region: str = "VA7"
    credentials: list[CredentialPart] = []


class Scenario(_Part, frozen=True):
    """A whole scenario."""

    organizations: Annotated[list[OrganizationPart], msgspec.Meta(min_length=1)]


class ScenarioFile(msgspec.Struct, frozen=True):
    """A scenario with the place that it came from. ``digest`` tells two scenarios apart."""

    path: Path
    text: str
    scenario: Scenario
    digest: str

    def fault(self, path: tuple[str | int, ...], message: str, hint: str | None = None) -> InvalidRequest:
        """Return an error about what stands at a path of the document, with its line."""
        line = line_of(self.text, path)
        return InvalidRequest(f"{self.path}, line {line}: {message}", hint=hint)


def read_scenario(path: Path) -> ScenarioFile:
    """Read a scenario file. Raises InvalidRequest that names the file, the line and the next step."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise InvalidRequest(f"The scenario {path} cannot be read: {fault}", hint="Check the path.") from fault
    try:
        document = json.loads(text)
    except ValueError as fault:
        line = getattr(fault, "lineno", 1)
        raise InvalidRequest(f"{path}, line {line}: {fault}", hint="The file must be one JSON object.") from fault
    try:
        scenario = msgspec.convert(document, Scenario)
    except msgspec.ValidationError as fault:
        message, _, place = str(fault).partition(" - at `")
        line = line_of(text, _steps(place.rstrip("`")))
        raise InvalidRequest(
            f"{path}, line {line}: {message} (at {place.rstrip('`') or '$'})",
            hint="docs/emulator.md lists the members of a scenario.",
        ) from fault
    found = ScenarioFile(path, text, scenario, hashlib.sha256(text.encode()).hexdigest())
    _check_names(found)
    return found


def organizations_of(scenario: Scenario) -> list[Organization]:
    """Return the organizations of a scenario, with what it leaves out made up."""
    return [_organization(part, seed) for seed, part in enumerate(scenario.organizations, start=21)]


def _organization(part: OrganizationPart, seed: int) -> Organization:
    sandboxes = tuple(_sandbox(part, one) for one in part.sandboxes)
    if not any(one.default for one in sandboxes):
        first = part.sandboxes[0]
        sandboxes = (_sandbox(part, msgspec.structs.replace(first, default=True)), *sandboxes[1:])
    credentials = tuple(_credential(one) for one in part.credentials) or (new_credential(),)
    namespace = part.namespace or "_" + part.slug.replace("-", "")
    org_id = part.org_id or org_id_of(part.slug)
    return Organization(part.slug, org_id, namespace, part.region, sandboxes, credentials, seed)


def _sandbox(organization: OrganizationPart, part: SandboxPart) -> EmulatedSandbox:
    return EmulatedSandbox(
        name=part.name,
        title=part.title or part.name.capitalize(),
        type=part.type,
        default=part.default,
        id=part.id or stable_uuid(organization.slug, part.name),
        profiles=part.sample.profiles,
        seed=part.sample.seed,
    )


def _credential(part: CredentialPart) -> Credential:
    made = new_credential()
    return Credential(
        client_id=part.client_id,
        client_secret=part.client_secret or made.client_secret,
        technical_account_id=made.technical_account_id,
        scopes=tuple(part.scopes or DEFAULT_SCOPES),
        permissions=None if part.permissions is None else tuple(part.permissions),
        labels=None if part.labels is None else tuple(part.labels),
    )


def _check_names(file: ScenarioFile) -> None:
    """Refuse names that are given twice: places are kept apart by them."""
    organizations = organizations_of(file.scenario)
    _check_unique(file, [one.slug for one in organizations], "slug", lambda index: ("organizations", index, "slug"))
    _check_unique(file, [one.org_id for one in organizations], "orgId", lambda index: ("organizations", index))
    clients = [(o, c, one.client_id) for o, org in enumerate(organizations) for c, one in enumerate(org.credentials)]
    _check_unique(
        file,
        [client_id for *_, client_id in clients],
        "clientId",
        lambda index: ("organizations", clients[index][0], "credentials", clients[index][1]),
    )
    places = [(o, s, one.id) for o, org in enumerate(organizations) for s, one in enumerate(org.sandboxes)]
    _check_unique(
        file,
        [sandbox_id for *_, sandbox_id in places],
        "id",
        lambda index: ("organizations", places[index][0], "sandboxes", places[index][1], "id"),
    )
    for number, organization in enumerate(organizations):
        names = [one.name for one in organization.sandboxes]
        _check_unique(
            file, names, "name", lambda index, number=number: ("organizations", number, "sandboxes", index, "name")
        )


def _check_unique(file: ScenarioFile, values: list[str], member: str, path_of: Any) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise file.fault(path_of(index), f"{member} {value!r} is given twice", "Give each its own.")


def _steps(place: str) -> tuple[str | int, ...]:
    """Read msgspec's ``$.organizations[0].slug``."""
    found = re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", place)
    return tuple(name or int(number) for name, number in found)


def line_of(text: str, path: tuple[str | int, ...]) -> int:
    """Return the line, from 1, on which the value at a path begins, or as near to it as the document goes."""
    decoder = json.JSONDecoder()
    position = _skip(text, 0)
    for step in path:
        found = _child(decoder, text, position, step)
        if found is None:
            break
        position = found
    return text.count("\n", 0, position) + 1


def _child(decoder: json.JSONDecoder, text: str, position: int, step: str | int) -> int | None:
    """Return where a member of an object or an entry of an array begins."""
    is_object = text[position : position + 1] == "{"
    if text[position : position + 1] not in ("{", "["):
        return None
    position, index = _skip(text, position + 1), 0
    while text[position : position + 1] not in ("", "}", "]"):
        name: str | int = index
        if is_object:
            name, position = decoder.raw_decode(text, position)
            position = _skip(text, _skip(text, position) + 1)
        if name == step:
            return position
        _, position = decoder.raw_decode(text, position)
        position = _skip(text, position)
        if text[position : position + 1] == ",":
            position = _skip(text, position + 1)
        index += 1
    return None


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position
