"""Scenario files: what an emulator begins with, what is wrong with a file, and the way back to a file."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from app.cli.export_scenario import Lines, write_scenario
from app.emulator.app import create_app
from app.emulator.scenario import line_of, read_scenario
from app.emulator.settings import EmulatorSettings
from app.errors import InvalidRequest
from tests.emulator.conftest import Emulator, SteppedClock, running

UPS = "/data/core/ups"
DEFINITIONS = f"{UPS}/segment/definitions"
FEMALE = 'person.gender = "female"'


def rule(text: str, name: str, **members: Any) -> dict[str, Any]:
    return {
        "name": name,
        "expression": {"type": "PQL", "format": "pql/text", "value": text},
        "schema": {"name": "_xdm.context.profile"},
        **members,
    }


def acme(**sandbox: Any) -> dict[str, Any]:
    return {
        "organizations": [
            {
                "slug": "acme",
                "namespace": "_acme",
                "credentials": [{"clientId": "acme-client", "clientSecret": "acme-secret"}],
                "sandboxes": [{"name": "prod", "type": "production", "default": True, **sandbox}],
            }
        ]
    }


def write(folder: Path, scenario: Any, name: str = "scenario.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(scenario, indent=1))
    return path


def people(folder: Path) -> Path:
    """Three women and two men; one of the women has bought something."""
    lines = []
    for number, gender in enumerate(["female", "female", "male", "male", "female"]):
        document: dict[str, Any] = {
            "identityMap": {"Email": [{"id": f"p{number}@acme.example", "primary": True}]},
            "person": {"gender": gender},
            "_acme": {"loyalty": {"level": "gold"}},
        }
        if number == 0:
            document["xEvent"] = [{"_id": "e0", "timestamp": "2026-02-28T10:00:00Z", "eventType": "commerce.purchases"}]
        lines.append(json.dumps(document))
    path = folder / "people.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


@asynccontextmanager
async def begun(folder: Path, scenario: Path, state: str = "state") -> AsyncIterator[Emulator]:
    settings = EmulatorSettings(
        folder / state, profiles=1_000, estimate_step_s=0.0, job_step_s=0.0, scenario=read_scenario(scenario)
    )
    async with running(settings, SteppedClock()) as emulator:
        yield emulator


async def count(emulator: Emulator, text: str, **place: Any) -> int:
    made = await emulator.call("POST", f"{UPS}/preview", json={"predicateExpression": text}, **place)
    ready = await emulator.until(
        f"{UPS}/estimate/{made.json()['previewId']}", lambda body: body["state"] == "RESULT_READY", **place
    )
    return int(ready["estimatedSize"])


async def test_records_definitions_audiences_and_memberships_are_there_at_once(tmp_path: Path) -> None:
    people(tmp_path)
    women = rule(FEMALE, "Women", id="7b0f8a34-52f1-4b0e-9a86-3a4f1f0c9d21")
    users = rule(f'inSegment("{women["id"]}")', "Users of women")
    list_ = {"audienceId": "crm-1", "name": "From the CRM", "namespace": "crm", "originName": "CUSTOM_UPLOAD"}
    scenario = acme(
        profiles=["people.jsonl"],
        definitions=[women, users],
        audiences=[list_],
        memberships=[
            {"segment": women["id"], "realized": [{"namespace": "Email", "id": "p2@acme.example"}]},
        ],
    )
    async with begun(tmp_path, write(tmp_path, scenario)) as emulator:
        assert await count(emulator, FEMALE) == 3
        assert await count(emulator, '_acme.loyalty.level = "gold"') == 5
        assert await count(emulator, 'select e from xEvent where e.eventType = "commerce.purchases"') == 1
        listed = (await emulator.call("GET", DEFINITIONS, params={"sort": "name:asc"})).json()["segments"]
        assert [one["name"] for one in listed] == ["Users of women", "Women"]
        assert listed[1]["id"] == women["id"]
        audiences = (await emulator.call("GET", f"{UPS}/audiences")).json()["children"]
        assert "crm-1" in [one["audienceId"] for one in audiences]
        params = {"schema.name": "_xdm.context.profile", "entityId": "p2@acme.example", "entityIdNS": "email"}
        (profile,) = (await emulator.call("GET", f"{UPS}/access/entities", params=params)).json().values()
        assert women["id"] in profile["entity"]["segmentMembership"]["ups"]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "ndjson"])
async def test_records_come_from_csv_and_parquet_as_well(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"people.{suffix}"
    sql = """SELECT 'p' || n || '@acme.example' AS "identityMap.Email",
             CASE WHEN n % 4 = 0 THEN 'female' ELSE 'male' END AS "person.gender",
             'gold' AS "_acme.loyalty.level", DATE '1990-01-02' + n::INTEGER AS "person.birthDate"
             FROM range(1200) AS made(n)"""
    kind = {"csv": "FORMAT csv, HEADER", "parquet": "FORMAT parquet", "ndjson": "FORMAT json"}[suffix]
    duckdb.connect().execute(f"COPY ({sql}) TO '{file}' ({kind})")
    events = tmp_path / "events.csv"
    events.write_text(
        "identityMap.Email,_id,timestamp,eventType\n"
        "p1@acme.example,a,2026-02-28T10:00:00Z,commerce.purchases\n"
        "p2@acme.example,b,2026-02-28T10:00:00Z,commerce.purchases\n"
    )
    scenario = acme(profiles=[file.name], events=["events.csv"])
    async with begun(tmp_path, write(tmp_path, scenario)) as emulator:
        assert await count(emulator, FEMALE) == 300
        assert await count(emulator, 'select e from xEvent where e.eventType = "commerce.purchases"') == 2


async def test_organizations_and_sandboxes_are_apart(tmp_path: Path) -> None:
    people(tmp_path)
    scenario = acme(profiles=["people.jsonl"], definitions=[rule(FEMALE, "Women")])
    scenario["organizations"][0]["sandboxes"].append({"name": "dev", "sample": {"profiles": 40, "seed": 3}})
    scenario["organizations"].append({"slug": "other", "sandboxes": [{"name": "prod", "sample": {"profiles": 20}}]})
    async with begun(tmp_path, write(tmp_path, scenario)) as emulator:
        assert [one.slug for one in emulator.organizations] == ["acme", "other"]
        assert [sandbox.default for sandbox in emulator.organizations[1].sandboxes] == [True]
        for place in ({"sandbox": "dev"}, {"organization": 1}):
            listed = (await emulator.call("GET", DEFINITIONS, **place)).json()
            assert listed["segments"] == []
            params = {"schema.name": "_xdm.context.profile", "entityId": "p0@acme.example", "entityIdNS": "email"}
            found = await emulator.call("GET", f"{UPS}/access/entities", params=params, **place)
            assert found.status_code == 404
        status = (await emulator.call("GET", f"{UPS}/previewsamplestatus", sandbox="dev")).json()
        assert str(status["totalRows"]) == "40"


async def test_a_restart_finds_the_scenario_done(tmp_path: Path) -> None:
    people(tmp_path)
    scenario = write(tmp_path, acme(profiles=["people.jsonl"], definitions=[rule(FEMALE, "Women")]))
    async with begun(tmp_path, scenario) as emulator:
        token = await emulator.token()
    async with begun(tmp_path, scenario) as emulator:
        assert await count(emulator, FEMALE) == 3
        assert len((await emulator.call("GET", DEFINITIONS)).json()["segments"]) == 1
        credential = emulator.organizations[0].credentials[0]
        assert (credential.client_id, credential.client_secret) == ("acme-client", "acme-secret")
    assert token


async def test_another_scenario_is_refused_for_the_same_state(tmp_path: Path) -> None:
    async with begun(tmp_path, write(tmp_path, acme())):
        pass
    other = acme()
    other["organizations"][0]["slug"] = "other"
    with pytest.raises(InvalidRequest, match="belongs to another scenario") as refused:
        async with begun(tmp_path, write(tmp_path, other, "other.json")):
            pass
    assert "--state-dir" in (refused.value.hint or "")
    changed = write(tmp_path, acme(definitions=[rule(FEMALE, "Women")]), "changed.json")
    with pytest.raises(InvalidRequest, match="another scenario"):
        async with begun(tmp_path, changed):
            pass


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1"),
        ('{"organizations": [\n  {"slug": "a",,}]}', "line 2"),
        ('{"organizations": []}', "length >= 1"),
        ('{"organizations": [\n {"slug": "acme",\n  "sandboxes": [\n   {"name": "Prod!"}]}]}', "line 4"),
        ('{"organizations": [\n {"slug": "acme", "sandboxes": [{"name": "p",\n "colour": 1}]}]}', "colour"),
        ('{"organizations": [{"slug": "a", "sandboxes": [{"name": "p"},\n {"name": "p"}]}]}', "line 2"),
        (
            '{"organizations": [{"slug": "a", "sandboxes": [{"name": "p"}]},\n{"slug": "a", "sandboxes": [{"name": "p"}]}]}',
            "given twice",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "scenario.json"
    path.write_text(text)
    with pytest.raises(InvalidRequest) as refused:
        read_scenario(path)
    assert said in refused.value.detail
    assert str(path) in refused.value.detail
    assert refused.value.hint


@pytest.mark.parametrize(
    ("sandbox", "lines", "said"),
    [
        ({"definitions": [rule("person.gendr = ", "Wrong")]}, None, "scenario.json, line"),
        ({"definitions": [{"name": "No rule"}]}, None, "expression"),
        ({"definitions": [rule(FEMALE, "Twice"), rule(FEMALE, "Twice")]}, None, "Twice"),
        ({"memberships": [{"segment": "none"}]}, None, "There is no segment none"),
        ({"profiles": ["nothing.jsonl"]}, None, "There is no file"),
        ({"profiles": ["people.txt"]}, ["x"], "of no kind that is read"),
        ({"profiles": ["people.jsonl"]}, ["{", "}"], "people.jsonl, line 1"),
        ({"profiles": ["people.jsonl"]}, ['{"identityMap": {"Email": "a@b"}}', "", "[]"], "people.jsonl, line 3"),
        ({"profiles": ["people.jsonl"]}, ['{"person": {}}'], "has no identity"),
        (
            {"profiles": ["people.jsonl"]},
            ['{"identityMap": {"Email": "a@b"}}', '{"identityMap": {"Email": "c@d"}, "person": {"gender": 7}}'],
            "people.jsonl, line 2: The field person.gender",
        ),
    ],
)
async def test_wrong_content_is_refused_with_its_place(
    tmp_path: Path, sandbox: dict[str, Any], lines: list[str] | None, said: str
) -> None:
    if lines is not None:
        (tmp_path / sandbox["profiles"][0]).write_text("\n".join(lines))
    with pytest.raises(InvalidRequest) as refused:
        async with begun(tmp_path, write(tmp_path, acme(**sandbox))):
            pass
    assert said in refused.value.detail


async def test_an_emulator_can_be_written_down_and_begun_again_elsewhere(tmp_path: Path) -> None:
    people(tmp_path)
    women = rule(FEMALE, "Women", id="7b0f8a34-52f1-4b0e-9a86-3a4f1f0c9d21", labels=["core/C1"])
    user = rule(f'inSegment("{women["id"]}")', "User", lifecycleState="draft")
    list_ = {"audienceId": "crm-1", "name": "From the CRM", "namespace": "crm", "originName": "CUSTOM_UPLOAD"}
    first = acme(profiles=["people.jsonl"], definitions=[women, user], audiences=[list_])
    async with begun(tmp_path, write(tmp_path, first)) as emulator:
        before = (await emulator.call("GET", DEFINITIONS)).json()["segments"]
        written = (await emulator.http.get("/emulator/scenario")).json()
        records = await emulator.http.get("/emulator/scenario/profiles/acme/prod")
    assert "acme-secret" not in json.dumps(written)
    (tmp_path / "again.jsonl").write_bytes(records.content)
    written["organizations"][0]["sandboxes"][0]["profiles"] = ["again.jsonl"]
    async with begun(tmp_path, write(tmp_path, written, "again.json"), "again") as emulator:
        after = (await emulator.call("GET", DEFINITIONS)).json()["segments"]
        assert [{**one, "createdBy": ""} for one in after] == [{**one, "createdBy": ""} for one in before]
        assert await count(emulator, FEMALE) == 3
        assert await count(emulator, 'select e from xEvent where e.eventType = "commerce.purchases"') == 1
        shown = (await emulator.call("GET", f"{UPS}/audiences/{women['id']}")).json()
        assert len(shown["dependents"]) == 1


async def test_a_fresh_sandbox_has_the_sample_and_nothing_else_and_goes_without_a_trace(emulator: Emulator) -> None:
    await emulator.create("Elsewhere")
    made = await emulator.http.post("/emulator/sandboxes", json={"organization": "luma", "name": "test-1"})
    assert made.status_code == 201
    assert made.json()["sandboxName"] == "test-1"
    assert (await emulator.call("GET", DEFINITIONS, sandbox="test-1")).json()["segments"] == []
    here = await count(emulator, emulator.rule("gold"), sandbox="test-1")
    assert here == await count(emulator, emulator.rule("gold")) > 0
    await emulator.create("Here", sandbox="test-1")
    assert [one["name"] for one in (await emulator.call("GET", DEFINITIONS)).json()["segments"]] == ["Elsewhere"]
    assert (await emulator.http.delete("/emulator/sandboxes/luma/test-1")).status_code == 204
    assert (await emulator.call("GET", DEFINITIONS, sandbox="test-1")).status_code == 404
    again = await emulator.http.post("/emulator/sandboxes", json={"organization": "luma", "name": "test-1"})
    assert again.status_code == 201
    assert (await emulator.call("GET", DEFINITIONS, sandbox="test-1")).json()["segments"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([], 400),
        ({"organization": "luma"}, 400),
        ({"organization": "luma", "name": "Test"}, 400),
        ({"organization": "nobody", "name": "test"}, 404),
        ({"organization": "luma", "name": "test", "like": "none"}, 404),
        ({"organization": "luma", "name": "prod"}, 422),
    ],
)
async def test_a_wrong_wish_for_a_sandbox_is_refused(emulator: Emulator, body: object, status: int) -> None:
    assert (await emulator.http.post("/emulator/sandboxes", json=body)).status_code == status


async def test_the_default_sandbox_stays(emulator: Emulator) -> None:
    assert (await emulator.http.delete("/emulator/sandboxes/luma/prod")).status_code == 400


def test_the_line_of_a_value_is_found_however_it_is_written() -> None:
    text = '{"a": [1,\n {"b": "x,}]{",\n  "c":\n [true, null,\n 5]}]}'
    assert line_of(text, ("a", 1, "b")) == 2
    assert line_of(text, ("a", 1, "c", 2)) == 5
    assert line_of(text, ("a", 9)) == 1


async def test_the_command_writes_a_scenario_that_can_be_begun_with(tmp_path: Path) -> None:
    people(tmp_path)
    scenario = acme(profiles=["people.jsonl"], definitions=[rule(FEMALE, "Women")])
    async with begun(tmp_path, write(tmp_path, scenario)) as emulator:

        @contextmanager
        def get(path: str) -> Iterator[Lines]:
            answer = {"/emulator/scenario": written, "/emulator/scenario/profiles/acme/prod": records}[path]
            yield Lines(int(answer.headers.get("x-total-profiles", 0)), iter(answer.content.splitlines(keepends=True)))

        written = await emulator.http.get("/emulator/scenario")
        records = await emulator.http.get("/emulator/scenario/profiles/acme/prod")
        told: list[tuple[str, float]] = []
        write_scenario(tmp_path / "written", get, records=True, report=lambda what, share: told.append((what, share)))
    shares = [share for _, share in told]
    assert {what for what, _ in told} == {"acme.prod.jsonl"}
    assert shares == sorted(shares)
    assert (len(shares) > 3, shares[0] < 0.5, shares[-1]) == (True, True, 1.0)
    async with begun(tmp_path, tmp_path / "written/scenario.json", "again") as emulator:
        assert await count(emulator, FEMALE) == 3
        assert len((await emulator.call("GET", DEFINITIONS)).json()["segments"]) == 1


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
async def test_putting_a_scenario_in_tells_how_far_it_is(tmp_path: Path, suffix: str) -> None:
    rows = "SELECT 'p' || i || '@acme.example' AS \"identityMap.Email\", 'female' AS \"person.gender\" FROM range(2500) t(i)"
    file, kinds = tmp_path / f"many.{suffix}", {"csv": "CSV, HEADER", "parquet": "PARQUET", "jsonl": "JSON"}
    duckdb.sql(f"COPY ({rows}) TO '{file}' (FORMAT {kinds[suffix]})")
    scenario = read_scenario(write(tmp_path, acme(profiles=[file.name])))
    told: list[tuple[str, float]] = []
    app = create_app(
        EmulatorSettings(tmp_path / "state", scenario=scenario),
        clock=SteppedClock(),
        progress=lambda what, share: told.append((what, share)),
    )
    async with app.router.lifespan_context(app):
        pass
    assert [one for one in told if file.name in one[0]] == [
        (f"acme/prod: {file.name}", share) for share in (0.4, 0.8, 1.0)
    ]
