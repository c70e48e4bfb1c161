"""Texts of others, with all that moves a terminal: shown harmlessly wherever they are shown."""

from __future__ import annotations

import json
import os
import re

from tests.project import Project


def test_what_moves_a_terminal_is_shown_as_pictures_everywhere(project: Project) -> None:
    evil = "E'\\x1b[2J <b>bold</b> [red]no[/red] \\u009b1m \\u202e'"
    project.wrapped(
        a=f"DO $$ BEGIN RAISE NOTICE '%', {evil}; RAISE EXCEPTION '%', {evil}; END $$;\n"
    )
    shown = "␛[2J <b>bold</b> [red]no[/red] �1m �"
    result = project.upgrade()
    assert result.output.count(shown) >= 2
    commands = (("log",), ("log", "--json"), ("status", "--json"), ("status",))
    told = [project.ok("pgpipe", *command).text for command in commands]
    assert all(shown in output for output in told[:3])
    file = (project.folder / "migration.log").read_text("utf-8")
    for output in (result.text, *told, file):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", output)


def test_what_others_wrote_into_the_ledger_is_shown_harmlessly(project: Project) -> None:
    evil = "\x1b[2J\x9b1m\u202e"
    project.wrapped(a="SELECT 1/0;\n")
    project.upgrade()
    project.query("UPDATE migrations SET logs = %s", evil)
    project.query("UPDATE migration_logs SET logs = %s", evil)
    for command in ("log", "status"):
        assert "␛[2J�1m�" in project.ok("pgpipe", command).output
        told = project.ok("pgpipe", command, "--json").output
        assert evil[:4] not in told
        assert "\\u001b[2J\\u009b1m\\u202e" in told
    assert json.loads(project.ok("pgpipe", "log", "--json").output)["logs"] == evil
    assert "␛[2J�1m�" in project.upgrade().output


def test_variables_that_are_no_text_stop_no_build(project: Project) -> None:
    project.wrapped(a="SELECT 1;\n")
    env = {"GITHUB_RUN_NUMBER": "7", "GITHUB_RUN_ID": "9", "GITHUB_ACTOR": os.fsdecode(b"\xff")}
    assert project.upgrade(env=env).code == 0
    assert project.query("SELECT who FROM migration_attempts") == [("�",)]
