"""The command ``segment-gateway pql`` as people and scripts call it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

RULE = '_wwfovlab011.loyalty.level = "gold"'
TREE = {
    "nodeType": "fnApply",
    "fnName": "=",
    "params": [
        {
            "nodeType": "fieldLookup",
            "fieldName": "gender",
            "object": {"nodeType": "fieldLookup", "fieldName": "person"},
        },
        {"nodeType": "literal", "value": "female"},
    ],
}


def run(*arguments: str, given: str | bytes = "") -> subprocess.CompletedProcess[str]:
    raw = given.encode() if isinstance(given, str) else given
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "pql", *arguments], input=raw, capture_output=True, check=False
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_check_puts_carets_under_the_error() -> None:
    done = run("check", "-", given='person.gender = "female" and\n  _wwfovlab011.loyalty.levl = "gold"')
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error[unknown-field]: ")
    assert lines[1] == "  --> standard input:2:24"
    assert lines[3] == '2 |   _wwfovlab011.loyalty.levl = "gold"'
    assert lines[4] == "  | " + " " * 23 + "^^^^"
    assert "level" in lines[5]
    assert "\x1b" not in done.stderr


def test_carets_stay_under_the_place_behind_wide_characters_and_tabs() -> None:
    done = run("check", "-", given='\thomeAddress.city = "漢字" and frob(1)')
    source, carets = (line.split(" | ", 1)[1] for line in done.stderr.splitlines()[3:5])
    assert source.split("frob")[0].startswith(" homeAddress")
    assert carets.index("^") == len(source.split("frob")[0]) + 2  # each of the two characters takes two cells


def test_long_lines_are_cut_round_the_error_and_control_characters_never_reach_the_terminal() -> None:
    done = run(
        "check",
        "-",
        given='homeAddress.city in ["'
        + "x" * 5_000
        + '"] and frob(1) and person.gender = "'
        + "y" * 5_000
        + '" and homeAddress.city = "\x1b[31m"',
    )
    assert done.returncode == 1
    assert "\x1b" not in done.stderr
    assert all(len(line) < 400 for line in done.stderr.splitlines())


def test_colours_are_for_terminals_only() -> None:
    main, worker = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "app.cli", "pql", "check", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=worker, stdout=worker, env=environment) as process:
        process.communicate(b"frob(1)")
    os.close(worker)
    shown = os.read(main, 10_000)
    os.close(main)
    assert b"\x1b[" in shown
    assert b"frob" in shown


def test_check_of_json_names_the_place_in_the_tree(tmp_path: Path) -> None:
    file = tmp_path / "rule.json"
    file.write_text(json.dumps({**TREE, "params": [TREE["params"][0], {"nodeType": "literl"}]}))
    done = run("check", str(file))
    assert done.returncode == 1
    assert f"{file} at $.params[1]" in done.stderr
    told = json.loads(run("check", str(file), "--json").stdout)
    assert told["valid"] is False
    assert told["format"] == "pql/json"
    assert told["diagnostics"][0]["code"] == "node-type"
    assert told["diagnostics"][0]["place"] == "$.params[1]"


def test_check_uses_the_schema_that_is_named(tmp_path: Path) -> None:
    schema = tmp_path / "union.json"
    schema.write_text(json.dumps({"type": "object", "properties": {"shoeSize": {"type": "integer"}}}))
    assert run("check", "-", "--schema", str(schema), given="shoeSize = 41").returncode == 0
    assert run("check", "-", given="shoeSize = 41").returncode == 1
    assert run("check", "-", "--namespace", "_other", given='_other.loyalty.level = "gold"').returncode == 0


def test_format_and_convert_go_both_ways(tmp_path: Path) -> None:
    assert run("format", "-", given="a=1 AND  b  = 2").stdout == "a = 1 and b = 2\n"
    tree = run("convert", "-", given=RULE).stdout
    assert json.loads(tree)["fnName"] == "="
    assert run("convert", "-", given=tree).stdout == RULE + "\n"
    assert run("format", "-", given=json.dumps(TREE, indent=2)).stdout.startswith('{"nodeType":"fnApply"')
    told = json.loads(run("convert", "-", "--json", given=json.dumps(TREE)).stdout)
    assert told == {"format": "pql/text", "value": 'person.gender = "female"', "diagnostics": []}


def test_fields_and_segments_are_listed() -> None:
    rule = f'{RULE} and inSegment("abc")'
    assert run("fields", "-", given=rule).stdout.splitlines() == ["_wwfovlab011.loyalty.level", "inSegment abc"]
    told = json.loads(run("fields", "-", "--json", given=rule).stdout)
    assert told == {"fields": ["_wwfovlab011.loyalty.level"], "segments": ["abc"]}


def test_explain_says_who_qualifies_in_either_format() -> None:
    told = run("explain", "-", given='person.gender = "female"')
    assert told.returncode == 0
    assert told.stdout.startswith("A profile qualifies when ")
    assert run("explain", "-", given=json.dumps(TREE)).stdout == told.stdout
    assert (
        json.loads(run("explain", "-", "--json", given=json.dumps(TREE)).stdout)["explanation"] == told.stdout.strip()
    )


def test_diff_tells_changes_of_meaning_and_not_of_spelling(tmp_path: Path) -> None:
    old, same, new = (tmp_path / name for name in ("old.pql", "same.json", "new.pql"))
    old.write_text('person.gender = "female" and a = 1')
    same.write_text(run("convert", "-", given='a = 1 and person.gender = "female"').stdout)
    new.write_text('a = 2 and person.gender = "female"')
    equal = run("diff", str(old), str(same))
    assert (equal.returncode, equal.stdout) == (0, "The rules mean the same.\n")
    changed = run("diff", str(old), "-", given=new.read_text())
    assert (changed.returncode, changed.stdout) == (1, "- a = 1\n+ a = 2\n")
    told = json.loads(run("diff", str(old), str(new), "--json").stdout)
    assert told["same"] is False
    assert [(one["kind"], one["before"]["text"], one["after"]["text"]) for one in told["changes"]] == [
        ("changed", "a = 1", "a = 2")
    ]
    assert run("diff", "-", "-").returncode == 2


def test_sql_runs_with_its_parameters() -> None:
    told = json.loads(run("sql", "-", "--json", "--now", "2026-03-01T12:00:00Z", given=RULE).stdout)
    with duckdb.connect() as database:
        database.execute(
            "CREATE TABLE profiles AS SELECT * FROM (VALUES (1, 'gold'), (2, NULL)) t(profile_no, loyalty_level)"
        )
        assert database.execute(told["sql"], told["parameters"]).fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["check", "no-such-file"], b"", "cannot be read"),
        (["check", "-"], b"\xff", "not UTF-8"),
        (["sql", "-", "--now", "soon"], b"a = 1", "is not an instant"),
        (["check", "-", "--schema", "no-such-file"], b"a = 1", "cannot be read"),
        (["frobnicate"], b"", "No such command"),
    ],
)
def test_wrong_use_has_a_code_of_its_own(arguments: list[str], given: bytes, said: str) -> None:
    done = run(*arguments, given=given)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_rule_that_is_no_rule_has_code_1() -> None:
    for command in ("check", "format", "convert", "explain", "fields", "sql"):
        done = run(command, "-", given="a = ")
        assert done.returncode == 1, command
        assert "unexpected-token" in done.stderr
