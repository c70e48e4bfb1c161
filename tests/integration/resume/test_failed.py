"""A source without a transaction that failed or was edited goes on where it stopped."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.killing import holding
from tests.project import Project
from tests.resuming import OFF, fails, goes_on


def test_an_error_says_what_is_done_and_what_follows_may_be_edited(project: Project) -> None:
    done = f"{OFF}CREATE TABLE one (a int);\nINSERT INTO one VALUES (1);\n"
    project.wrapped(a=f"{done}SELECT 1/0;\nSELECT 4;\nSELECT 5;\n")
    fails(project, "2 of 5 statements are done", "statement 3 of 5", "a.sql:4:1")
    assert project.ledger() == {"a": "ERROR"}
    project.source("a", f"{done}CREATE TABLE three (a int);\n")
    goes_on(project, "resumed at statement 3 of 3")
    assert project.query("SELECT * FROM one") == [(1,)]
    assert project.query("SELECT * FROM three") == []


def test_an_edit_of_a_finished_statement_is_refused_with_both_texts(project: Project) -> None:
    project.wrapped(
        a=f"{OFF}CREATE TABLE one (a int);\n  CREATE TABLE two (a int);\nSELECT 1/0;"
    )
    fails(project)
    project.source(
        "a", f"{OFF}CREATE TABLE one (a int);\n  CREATE TABLE two (b int);\nSELECT 1;"
    )
    was, is_ = "    CREATE TABLE two (a int);", "    CREATE TABLE two (b int);"
    for _ in range(2):
        said = "what its finished statements did stays"
        result = fails(
            project, "a.sql:3:3", "statement 2 was finished by build local_run", was, is_, said
        )
        assert "0 of 3" not in result.text
        project.ok("pgpipe", "retry", "a")
    project.source(
        "a", f"{OFF}CREATE TABLE one (a int);\n  CREATE TABLE two (a int);\nSELECT 1;"
    )
    goes_on(project, "resumed at statement 3 of 3")


def test_a_finished_statement_that_is_gone_is_refused_with_its_text(project: Project) -> None:
    project.wrapped(a=f"{OFF}SELECT 1;\nSELECT 2 AS two;\nSELECT 1/0;\n")
    fails(project)
    project.source("a", f"{OFF}SELECT 1;\n")
    fails(project, "statement 2 was finished", "is gone from the file", "SELECT 2 AS two;")


def test_a_source_that_was_unreadable_meanwhile_still_goes_on(project: Project) -> None:
    done = f"{OFF}CREATE TABLE one (a int);\n"
    project.wrapped(a=f"{done}SELECT 1/0;\n")
    fails(project)
    project.source("a", f"{done}SELECT 'open;\n")
    fails(project, "this string never ends")
    project.source("a", f"{done}SELECT 'closed';\n")
    goes_on(project, "resumed at statement 2 of 2")


def test_a_source_that_is_done_in_part_does_not_become_transactional(project: Project) -> None:
    done = "CREATE TABLE one (a int);\n"
    project.wrapped(a=f"{OFF}{done}SELECT 1/0;\n")
    fails(project)
    project.source("a", f"{done}SELECT 1;\n")
    result = fails(
        project,
        "finished 1 statement of it",
        "this try did nothing",
        "Write `-- pgpipe: transaction = off`",
    )
    assert "rolled back" not in result.text
    project.source("a", f"{OFF}{done}SELECT 1;\n")
    goes_on(project, "resumed at statement 2 of 2")


def test_a_source_of_which_nothing_is_done_may_become_transactional(project: Project) -> None:
    project.wrapped(a=f"{OFF}SELECT 1/0;\n")
    fails(project, "0 of 1 statement is done")
    project.source("a", "SELECT 1;\n")
    goes_on(project)


def test_a_statement_that_turns_out_to_want_no_transaction_gets_none(project: Project) -> None:
    project.query(
        "CREATE SEQUENCE calls; CREATE FUNCTION maintain() RETURNS void LANGUAGE plpgsql AS "
        "$$ BEGIN IF nextval('calls') = 1 THEN RAISE 'not in a block' USING ERRCODE = '25001'; "
        "END IF; CREATE TABLE maintained (); END $$"
    )
    project.wrapped(a=f"{OFF}SELECT maintain();\n")
    goes_on(project)
    assert project.scalar("SELECT to_regclass('maintained') IS NOT NULL")


def test_a_statement_that_waits_in_vain_names_who_blocks_it(project: Project) -> None:
    waits = "SELECT pg_advisory_xact_lock(42);\n"
    project.wrapped(a=f"{OFF}-- pgpipe: lock_timeout = 500ms\n{waits}")
    with holding(project, "SELECT pg_advisory_lock(42)"):
        fails(project, "55P03", "blocked by process")


@pytest.mark.parametrize("statement", ["(SELECT 1) UNION (SELECT 2);", "(TABLE t);"])
def test_a_parenthesis_may_begin_a_statement_of_a_block(
    project: Project, statement: str
) -> None:
    project.query("CREATE TABLE t (a int)")
    project.wrapped(a=f"{OFF}BEGIN;\n{statement}\nCOMMIT;\n")
    project.ok("upgrade", "head")


def test_a_block_that_is_never_committed_is_an_error(project: Project) -> None:
    project.wrapped(a=f"{OFF}SELECT 1;\nBEGIN;\nCREATE TABLE one (a int);\n")
    fails(project, "a BEGIN above is never committed", "1 of 3 statements are done")


# -- downwards ---------------------------------------------------------------------------------


def test_a_downgrade_that_stops_names_no_other_way(project: Project) -> None:
    up, done = "CREATE TABLE x ();\n", f"{OFF}CREATE TEMP TABLE draft (a int);\n"
    project.source("a", up, f"{done}SELECT 1/0;\n")
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    assert project.alembic("downgrade", "base").code == 1
    for down in (f"{done}TABLE draft;\n", f"{OFF}CREATE TEMP TABLE draft ();\nSELECT 1;\n"):
        project.source("a", up, down)
        said = project.alembic("downgrade", "base").text
        assert "then downgrade again" in said
        assert "upgrade head" not in said
    project.source("a", up, f"{done}DROP TABLE x;\n")
    project.ok("downgrade", "base")


def test_what_is_skipped_half_done_is_said_to_stay(project: Project) -> None:
    project.wrapped(a=f"{OFF}CREATE TABLE t ();\nSELECT 1/0;\n")
    assert project.upgrade().code == 1
    stays = "1 of 2 statements are done and stay as they are"
    skipped = project.ok("pgpipe", "skip", "a", "--reason", "not today").output
    assert f"ERROR → SKIPPED · {stays}" in skipped
    project.ok("upgrade", "head")
    assert f"it is SKIPPED, {stays}" in project.ok("downgrade", "base").output
    assert project.scalar("SELECT to_regclass('t')") is not None


def test_a_revision_that_is_taken_back_in_part_is_not_forgotten(project: Project) -> None:
    project.source("a", "CREATE TABLE t (a int);\n", f"{OFF}DROP TABLE t;\nSELECT 1/0;\n")
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    failed = project.alembic("downgrade", "base")
    assert "1 of 2 statements are done" in failed.text and "counts as applied" in failed.text
    said = "(a) counts as applied, and is taken back in part: its downgrade stopped in build"
    for command in (("upgrade", "head"), ("upgrade", "head"), ("pgpipe", "check")):
        assert project.ok(*command).output.count(said) == 1
    status = project.ok("pgpipe", "status").output
    assert "its downgrade stopped half way in build local_run" in status
    assert f"next: alembic downgrade {revision_id('a')}-1" in status
    project.source("a", "CREATE TABLE t (a int);\n", f"{OFF}DROP TABLE t;\nSELECT 1;\n")
    project.source("b", "SELECT 1;\n", "SELECT 1;\n")
    project.ok("pgpipe", "wrap")
    noted = project.ok("upgrade", "head").output
    [target] = re.findall(r"To finish that, .*: alembic downgrade (\S+), then", noted)
    project.ok("downgrade", target)
    assert project.ledger() == {"a": "ROLLED_BACK", "b": "ROLLED_BACK"}
    assert said not in project.ok("upgrade", "head").output
    assert said not in project.ok("pgpipe", "check").output


def test_status_names_no_downgrade_that_takes_a_sibling_along(project: Project) -> None:
    down = f"{OFF}DROP TABLE t;\nSELECT 1/0;\n"
    project.source("a", "SELECT 1;\n", "SELECT 1;\n")
    project.source("b", "CREATE TABLE t (a int);\n", down)
    project.source("c", "SELECT 1;\n", "SELECT 1;\n")
    project.ok("pgpipe", "wrap")
    [wrapper] = (project.folder / "alembic/versions").glob(f"{revision_id('c')}*")
    text = wrapper.read_text()
    wrapper.write_text(text.replace(f"= '{revision_id('b')}'", f"= '{revision_id('a')}'"))
    project.ok("upgrade", "heads")
    assert project.alembic("downgrade", f"{revision_id('b')}@{revision_id('a')}").code == 1
    status = project.ok("pgpipe", "status").output
    assert "its downgrade stopped half way" in status
    assert "next: " not in status


# -- another database --------------------------------------------------------------------------


def test_what_is_done_in_part_does_not_go_on_in_another_database(
    project: Project, second_database: URL
) -> None:
    elsewhere = f"-- pgpipe: database = {second_database.database}\n"
    made = "CREATE TABLE one (a int);\n"
    project.wrapped(a=f"{OFF}{made}SELECT 1/0;\n")
    fails(project)
    project.source("a", f"{OFF}{elsewhere}{made}CREATE TABLE two (a int);\n")
    for _ in range(2):
        fails(project, "build local_run ran a part of it in the run's own database")
        project.ok("pgpipe", "retry", "a")
    project.source("a", f"{OFF}{made}CREATE TABLE two (a int);\n")
    goes_on(project, "resumed at statement 2 of 2")
    assert project.query("SELECT * FROM two") == []


def test_what_is_done_in_part_elsewhere_goes_on_there_only(
    project: Project, second_database: URL
) -> None:
    elsewhere = f"-- pgpipe: database = {second_database.database}\n"
    made = "CREATE TABLE one (a int);\n"
    project.wrapped(a=f"{OFF}{elsewhere}{made}SELECT 1/0;\n")
    fails(project)
    project.source("a", f"{OFF}{made}SELECT 1;\n")
    fails(project, f"build local_run ran a part of it in database {second_database.database}")
    assert project.scalar("SELECT to_regclass('one')") is None
    project.source("a", f"{OFF}{elsewhere}{made}SELECT 1;\n")
    goes_on(project, "resumed at statement 2 of 2")
