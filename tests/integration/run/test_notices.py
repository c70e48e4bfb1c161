"""Notices: what the server says while a source runs, all of it, in order, live, and once."""

from __future__ import annotations

from tests.background import eventually, in_background
from tests.conftest import Connect
from tests.project import Project

SAYING = """\
CREATE TABLE t (id int);
CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE 'row %', NEW.id;
  RETURN NULL;
END $$;
CREATE TRIGGER say AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION say();
"""


def said(project: Project, word: str) -> list[str]:
    """Return the lines with a word that the build's log, the file and nobody else has."""
    log = project.scalar("SELECT logs FROM migration_logs")
    file = (project.folder / "migration.log").read_text("utf-8")
    lines = [line for line in log.splitlines() if word in line]
    assert lines == [line for line in file.splitlines() if word in line]
    return lines


def test_notices_of_every_level_are_shown_in_order(project: Project) -> None:
    levels = ("DEBUG", "LOG", "INFO", "NOTICE", "WARNING")
    raised = "".join(f"RAISE {level} 'mark {level}';" for level in levels)
    project.wrapped(a1=f"SET client_min_messages = debug;\nDO $$ BEGIN {raised} END $$;\n")
    result = project.upgrade()
    assert [line for line in result.output.splitlines() if "mark" in line] == [
        f"{level}:  mark {level}" for level in levels
    ]
    assert len(said(project, "mark")) == len(levels)


def test_debug_is_off_where_nobody_asks_for_it(project: Project) -> None:
    project.wrapped(a1="DO $$ BEGIN RAISE DEBUG 'mark'; RAISE NOTICE 'mark'; END $$;\n")
    assert project.upgrade().code == 0
    assert said(project, "mark") == ["NOTICE:  mark"]


def test_a_notice_has_all_its_lines_its_detail_and_its_hint(project: Project) -> None:
    project.wrapped(
        a1="DO $$ BEGIN RAISE WARNING E'one\\ntwo' USING DETAIL = E'three\\nfour', "
        "HINT = 'five'; END $$;\n"
    )
    shown = "WARNING:  one\ntwo\nDETAIL:  three\nfour\nHINT:  five\n"
    assert shown in project.upgrade().output
    assert shown in project.scalar("SELECT logs FROM migration_logs")


def test_thousands_of_notices_are_all_there(project: Project) -> None:
    project.wrapped(
        a1="DO $$ BEGIN FOR n IN 1..5000 LOOP RAISE NOTICE 'mark %', n; END LOOP; END $$;\n"
    )
    assert project.upgrade().code == 0
    assert said(project, "mark") == [f"NOTICE:  mark {n}" for n in range(1, 5001)]


def test_a_batch_that_is_repeated_says_nothing_twice(project: Project) -> None:
    rows = "".join(f"INSERT INTO t VALUES ({n});\n" for n in range(1, 6))
    project.wrapped(a1=f"{SAYING}{rows}INSERT INTO t VALUES (99999999999);\n{rows}")
    assert "(statement 9 of 14)" in project.upgrade().output
    assert said(project, "row ") == [f"NOTICE:  row {n}" for n in range(1, 6)]


def test_a_repeated_batch_that_goes_through_takes_no_later_notice_away(
    project: Project,
) -> None:
    project.query("CREATE SEQUENCE tries")
    fickle = SAYING.replace(
        "RAISE NOTICE", "IF nextval('tries') = 1 THEN RAISE NOTICE 'lost'; RAISE EXCEPTION"
    ).replace("  RETURN", "  END IF;\n  RETURN")
    project.wrapped(
        a1=f"{fickle}INSERT INTO t VALUES (1);\nDO $$ BEGIN RAISE NOTICE 'kept'; END $$;\n"
    )
    result = project.upgrade()
    assert result.code == 0, result.text
    assert said(project, "kept") == ["NOTICE:  kept"]


def test_what_a_deferred_trigger_says_is_shown_too(project: Project) -> None:
    deferred = SAYING.replace("TRIGGER say", "CONSTRAINT TRIGGER say").replace(
        "ON t ", "ON t DEFERRABLE INITIALLY DEFERRED "
    )
    project.wrapped(a1=f"{deferred}INSERT INTO t VALUES (7);\n")
    result = project.upgrade()
    assert result.code == 0, result.text
    assert said(project, "row ") == ["NOTICE:  row 7"]


def test_a_notice_is_there_while_its_statement_still_runs(
    project: Project, connect: Connect
) -> None:
    project.wrapped(
        a1="DO $$ BEGIN RAISE NOTICE 'mark'; PERFORM pg_advisory_lock(7); END $$;\n"
    )
    with connect(project.url).cursor() as other:  # type: ignore[arg-type]
        other.execute("SELECT pg_advisory_lock(7)")
        with in_background(project, "upgrade", "head") as process:
            file = project.folder / "migration.log"
            eventually(lambda: file.exists() and "NOTICE:  mark\n" in file.read_text())
            assert process.poll() is None
            other.execute("SELECT pg_advisory_unlock(7)")
            assert process.wait(20) == 0
