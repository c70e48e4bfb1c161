"""Who comes from psql gets what psql would have done, or is told what to write."""

from __future__ import annotations

import pytest
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.by_psql import STOP, psql
from tests.project import Project
from tests.python_revision import RUNS_A_PART

ISOLATION = (
    "CREATE TABLE public.seen AS SELECT current_setting('transaction_isolation') AS i;\n"
)


# -- one database for another --------------------------------------------------------------


def test_an_undo_does_not_run_in_another_database_than_what_it_undoes(
    project: Project, second_database: URL
) -> None:
    project.query("CREATE TABLE public.t AS SELECT 1 AS precious")
    there = f"--MSSDATABASE={second_database.database}\n"
    project.source("a1", f"CREATE TABLE public.t (i int);\n{there}", "DROP TABLE public.t;\n")
    project.wrapped()
    project.ok("upgrade", "head")
    refused = project.alembic("downgrade", f"{revision_id('a1')}:base", "--sql")
    assert f"runs in database {second_database.database}, and a script" in refused.text
    output = project.ok("downgrade", "base").output
    assert f"in database {second_database.database}" in output
    assert project.query("TABLE public.t") == [(1,)]
    other = Project(project.folder / "other", second_database)
    assert other.scalar("SELECT to_regclass('public.t')") is None


@pytest.mark.parametrize("now", [None, "SELECT 1;\n", "SELECT 'never closed;\n"])
def test_an_undo_runs_where_the_ledger_says_its_source_ran(
    project: Project, second_database: URL, now: str | None
) -> None:
    project.query("CREATE TABLE public.t AS SELECT 1 AS precious")
    there = f"--MSSDATABASE={second_database.database}\n"
    project.source("a1", f"CREATE TABLE public.t (i int);\n{there}", "DROP TABLE public.t;\n")
    project.wrapped()
    project.ok("upgrade", "head")
    if now is None:
        (project.folder / "alembic/sql/a1.sql").unlink()
    else:
        project.write("alembic/sql/a1.sql", now)
    project.ok("downgrade", "base")
    assert project.query("TABLE public.t") == [(1,)]
    other = Project(project.folder / "other", second_database)
    assert other.scalar("SELECT to_regclass('public.t')") is None


def test_an_undo_may_name_a_database_of_its_own(project: Project, second_database: URL) -> None:
    assert isinstance(project.url, URL)
    project.source(
        "a1",
        f"SELECT 1;\n--MSSDATABASE={second_database.database}\n",
        f"CREATE TABLE public.undone ();\n--MSSDATABASE={project.url.database}\n",
    )
    project.wrapped()
    project.ok("upgrade", "head")
    project.ok("downgrade", "base")
    assert project.query("TABLE public.undone") == []


ON = "-- pgpipe: transaction = on\n"


@pytest.mark.parametrize(
    ("directive", "needed"),
    [
        ("-- pgpipe: database = nowhere", "database = nowhere"),
        ("-- pgpipe: role = nobody", "role = nobody"),
        ("-- pgpipe: transaction = off", "to be outside a transaction"),
        ("VACUUM;", "to be outside a transaction"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--sql",)], ids=["run", "script"])
def test_a_python_revision_says_what_it_cannot_heed(
    project: Project, directive: str, needed: str, options: tuple[str, ...]
) -> None:
    project.source("parts/one", f"{directive}\n")
    project.write("alembic/versions/py.py", RUNS_A_PART)
    result = project.alembic("upgrade", "head", *options)
    assert result.code == 1
    assert f"it needs {needed}, which a Python revision" in result.text
    assert "alembic pgpipe wrap" in result.text


def test_a_python_revision_uses_the_time_outs_of_what_it_runs(project: Project) -> None:
    limits = "current_setting('lock_timeout'), current_setting('statement_timeout')"
    project.query("CREATE TABLE seen (a text, b text)")
    put = f"INSERT INTO seen SELECT {limits};\n"
    project.source("parts/one", f"-- pgpipe: lock_timeout = 5s\n{put}")
    behind = f"    op.execute({put!r})\n\n\ndef downgrade"
    project.write("alembic/versions/py.py", RUNS_A_PART.replace("\n\ndef downgrade", behind, 1))
    project.configure(statement_timeout="1min")
    project.ok("upgrade", "head")
    assert project.query("TABLE seen") == [("5s", "1min"), ("0", "1min")]


def test_a_python_revision_runs_what_needs_nothing_else(project: Project) -> None:
    assert isinstance(project.url, URL)
    own = f"{ON}-- pgpipe: role = postgres\nSELECT 1;\n--MSSDATABASE={project.url.database}\n"
    project.configure(role="postgres")
    project.source("parts/one", own)
    project.write("alembic/versions/py.py", RUNS_A_PART)
    project.ok("upgrade", "head")


def test_the_database_behind_the_commit_on_the_last_line_counts(
    project: Project, second_database: URL
) -> None:
    made = "BEGIN;\nCREATE TABLE public.t (i int);\nCOMMIT;"
    project.wrapped(a1=f"{made} --MSSDATABASE={second_database.database}\n")
    project.ok("upgrade", "head")
    other = Project(project.folder / "other", second_database)
    assert other.query("TABLE public.t") == []
    assert project.scalar("SELECT to_regclass('public.t')") is None


def test_a_sentence_behind_the_last_statement_names_no_database(project: Project) -> None:
    said = "-- MSSDATABASE = where it was before the move"
    project.wrapped(a1=f"CREATE TABLE public.t (i int); {said}\n")
    assert f"a1.sql:1: {said} is only a comment" in (
        project.ok("pgpipe", "check", "--no-rehearsal").output
    )
    project.ok("upgrade", "head")
    assert project.query("TABLE public.t") == []


@pytest.mark.parametrize("last", ["--MSSDATABASE other", "---MSSDATABASE=other"])
def test_a_last_line_that_nearly_names_a_database_is_noted(project: Project, last: str) -> None:
    project.wrapped(a1=f"SELECT 1;\n\n{last}\n")
    note = f"note: alembic/sql/a1.sql:3: {last} is only a comment; a directive is written --MSS"
    assert note in project.ok("pgpipe", "check", "--no-rehearsal").output


# -- what psql would have done with the same text ------------------------------------------


@pytest.fixture
def escaping(project: Project) -> Project:
    """Give a project whose database takes backslashes in strings for escapes."""
    return escapes(project, project.url)


def escapes(project: Project, url: URL | str) -> Project:
    assert isinstance(url, URL)
    project.query(f"ALTER DATABASE {url.database} SET standard_conforming_strings = off")
    return project


def test_strings_mean_what_psql_takes_them_for(escaping: Project) -> None:
    text = "BEGIN;\nCREATE TABLE public.p AS SELECT 'C:\\\\temp' AS path;\nCOMMIT;\n"
    assert isinstance(escaping.url, URL)
    assert psql(escaping.url, text, *STOP).returncode == 0
    assert escaping.query("TABLE public.p") == [("C:\\temp",)]
    escaping.query("DROP TABLE public.p")
    escaping.wrapped(a1=text)
    said = escaping.upgrade().text
    assert "alembic/sql/a1.sql:2:1: database" in said
    on = f"ALTER DATABASE {escaping.url.database} SET standard_conforming_strings = on;"
    assert on in said
    for value, stored in (("off", "C:\\temp"), ("on", "C:\\\\temp")):
        escaping.ok("stamp", "base")
        escaping.source("a1", f"SET standard_conforming_strings = {value};\n{text}")
        escaping.ok("upgrade", "head")
        assert escaping.scalar("SELECT path FROM public.p") == stored
        escaping.query("DROP TABLE public.p")


def test_a_stamp_needs_no_strings(escaping: Project) -> None:
    escaping.wrapped(a1="SELECT 'a\\b';\n")
    escaping.ok("stamp", "head")


@pytest.mark.parametrize("string", ["'C:/temp'", "E'C:\\\\temp'", "$$C:\\temp$$"])
def test_what_means_the_same_runs_in_a_database_that_escapes(
    escaping: Project, string: str
) -> None:
    escaping.wrapped(a1=f"CREATE TABLE p AS SELECT {string} AS path;\n")
    escaping.ok("upgrade", "head")
    assert str(escaping.scalar("SELECT path FROM p")).startswith("C:")


def test_a_database_that_a_source_names_has_to_read_strings_as_it_is_read(
    project: Project, second_database: URL
) -> None:
    escapes(project, second_database)
    other = second_database.database
    project.wrapped(a1=f"SELECT 'a\\b';\n--MSSDATABASE={other}\n")
    said = f"a1.sql:1:1: database {other} has standard_conforming_strings"
    assert said in project.upgrade().text


@pytest.mark.parametrize(
    "ahead",
    [
        "SET default_transaction_isolation = 'serializable';\n",
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE;\n",
    ],
)
def test_a_level_that_is_set_ahead_of_begin_is_not_lost(project: Project, ahead: str) -> None:
    project.wrapped(a1=f"{ahead}BEGIN;\n{ISOLATION}COMMIT;\n")
    project.ok("upgrade", "head")
    assert project.scalar("SELECT i FROM seen") == "serializable"


def test_a_level_for_later_transactions_may_stand_in_one(project: Project) -> None:
    later = "SET default_transaction_isolation = 'serializable';\n"
    project.wrapped(
        a1=f"BEGIN;\n{later}{ISOLATION}COMMIT;\n", a2="-- pgpipe: transaction = off\n" + later
    )
    project.ok("upgrade", "head")
    assert project.scalar("SELECT i FROM seen") == "read committed"


def test_on_error_stop_is_answered_with_what_helps(project: Project) -> None:
    project.wrapped(a1="\\set ON_ERROR_STOP on\nBEGIN;\nSELECT 1;\nCOMMIT;\n")
    result = project.upgrade()
    assert result.code == 1
    assert "remove it where it only sets up psql, as ON_ERROR_STOP does" in result.text
