"""Who comes from psql gets what psql would have done, or is told what to write."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from uuid import uuid4

import pytest
from sqlalchemy import URL

from alembic_pgpipe.connect.server import ScratchServer
from alembic_pgpipe.revisions.wrapper import revision_id
from tests.conftest import Connect, connect_to
from tests.project import Project

ISOLATION = (
    "CREATE TABLE public.seen AS SELECT current_setting('transaction_isolation') AS i;\n"
)
LATIN1 = "TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"

Made = Callable[[str, str], URL]


@pytest.fixture
def made(scratch: ScratchServer, connect: Connect) -> Iterator[Made]:
    """Give a function that makes a database: options of CREATE DATABASE, and ALTER DATABASE."""
    with connect(scratch.url()).cursor() as cursor, ExitStack() as stack:

        def make(options: str, altered: str) -> URL:
            name = f"test_{uuid4().hex[:12]}"
            cursor.execute(f"CREATE DATABASE {name} {options}")
            stack.callback(cursor.execute, f"DROP DATABASE {name} WITH (FORCE)")
            if altered:
                cursor.execute(f"ALTER DATABASE {name} {altered}")
            return scratch.url(name)

        yield make


def psql(url: URL, text: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    """Run a text as ``psql -f`` does."""
    found = shutil.which("psql")
    if found is None:
        pytest.skip("there is no psql here")
    where = (
        f"host={url.query['host']} port={url.query['port']} "
        f"user={url.username} dbname={url.database}"
    )
    return subprocess.run(
        [found, "-X", "-q", *options, "-d", where, "-f", "-"],
        input=text.encode(),
        capture_output=True,
        check=False,
    )


STOP = ("-v", "ON_ERROR_STOP=1")


@contextmanager
def asked(url: URL) -> Iterator[Callable[[str], object]]:
    connection = connect_to(url)

    def ask(sql: str) -> object:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            found = cursor.fetchone() if cursor.description else None
            return found[0] if found else None

    yield ask
    connection.close()


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
PYTHON = """\
from alembic import op

revision = "py"
down_revision = None


def upgrade():
    op.run_source("parts/one.sql")


def downgrade():
    pass
"""


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
    project.write("alembic/versions/py.py", PYTHON)
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
    project.write("alembic/versions/py.py", PYTHON.replace("\n\ndef downgrade", behind, 1))
    project.configure(statement_timeout="1min")
    project.ok("upgrade", "head")
    assert project.query("TABLE seen") == [("5s", "1min"), ("0", "1min")]


def test_a_python_revision_runs_what_needs_nothing_else(project: Project) -> None:
    assert isinstance(project.url, URL)
    own = f"{ON}-- pgpipe: role = postgres\nSELECT 1;\n--MSSDATABASE={project.url.database}\n"
    project.configure(role="postgres")
    project.source("parts/one", own)
    project.write("alembic/versions/py.py", PYTHON)
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


PROD = "alembic -n prod pgpipe"


@pytest.fixture
def prod(project: Project, second_database: URL) -> Project:
    """Give a project whose section [prod] has another database, and a source that fails."""
    project.wrapped(a1="SELECT 1/0;\n")
    ini = (project.folder / "alembic.ini").read_text()
    url = second_database.render_as_string(hide_password=False).replace("%", "%%")
    project.write(
        "alembic.ini",
        f"{ini}[prod]\nscript_location = %(here)s/alembic\nsqlalchemy.url = {url}\n",
    )
    return project


def test_the_commands_that_a_run_names_are_for_its_section(prod: Project) -> None:
    skip = f'{PROD} skip {revision_id("a1")} --reason "…"'
    for code in (1, 3):
        result = prod.alembic("-n", "prod", "upgrade", "head")
        assert result.code == code
        assert skip in result.output
        assert "alembic pgpipe" not in result.text
    log = prod.ok("pgpipe", "-n", "prod", "log").output
    assert skip in log and "alembic pgpipe" not in log
    assert skip in (prod.folder / "migration.log").read_text()


def test_the_commands_that_ours_name_are_for_their_section(prod: Project) -> None:
    assert prod.alembic("-n", "prod", "upgrade", "head").code == 1
    for way in (("-n", "prod", "pgpipe"), ("pgpipe", "-n", "prod")):
        assert f"or: {PROD} retry " in prod.ok(*way, "status").output
        assert f"or: {PROD} retry " in prod.ok(*way, "check", "--no-rehearsal").output
        assert f"See them all: {PROD} status --all" in prod.alembic(*way, "retry", "x").text
    result = prod.alembic("-n", "prod", "upgrade", "x")
    assert f"See them all: {PROD} status --all" in result.text


def test_a_line_of_a_file_is_shown_as_it_is(prod: Project) -> None:
    line = "SELECT 'then: alembic upgrade head', 1/0;"
    prod.source("a1", f"{line}\n")
    assert f"  1 | {line}\n" in prod.alembic("-n", "prod", "upgrade", "head").output


def test_an_empty_section_is_none(prod: Project) -> None:
    for way in (("-n", "", "pgpipe"), ("pgpipe", "-n", "")):
        assert "has no section []" in prod.alembic(*way, "status").text


def test_what_stands_ahead_of_the_group_counts_behind_it(prod: Project) -> None:
    assert prod.alembic("-n", "prod", "upgrade", "head").code == 1
    output = prod.ok("-n", "prod", "pgpipe", "-x", "pgpipe.retries=1", "status").output
    assert "1 ERROR" in output
    assert "alembic -n prod -x pgpipe.retries=1 pgpipe retry" in output


# -- what psql would have done with the same text ------------------------------------------


def test_strings_mean_what_they_mean_in_a_database_that_escapes_in_them(
    project: Project, made: Made
) -> None:
    text = "BEGIN;\nCREATE TABLE public.p AS SELECT 'C:\\\\temp' AS path;\nCOMMIT;\n"
    theirs = made("", "SET standard_conforming_strings = off")
    ours = made("", "SET standard_conforming_strings = off")
    assert psql(theirs, text, *STOP).returncode == 0
    other = Project(project.folder / "other", ours)
    other.wrapped(a1=text)
    result = other.upgrade()
    assert result.code == 1
    assert "alembic/sql/a1.sql:2:1: database" in result.text
    turned_on = f"ALTER DATABASE {ours.database} SET standard_conforming_strings = on;"
    assert turned_on in result.text
    other.ok("stamp", "head")
    other.ok("stamp", "base")
    for value, stored in (("off", "C:\\temp"), ("on", "C:\\\\temp")):
        other.source("a1", f"SET standard_conforming_strings = {value};\n{text}")
        other.ok("upgrade", "head")
        assert other.scalar("SELECT path FROM public.p") == stored
        other.query("DROP TABLE public.p")
        other.ok("stamp", "base")


@pytest.mark.parametrize("string", ["'C:/temp'", "E'C:\\\\temp'", "$$C:\\temp$$"])
def test_what_means_the_same_runs_in_a_database_that_escapes(
    project: Project, made: Made, string: str
) -> None:
    other = Project(project.folder / "other", made("", "SET standard_conforming_strings = off"))
    other.wrapped(a1=f"CREATE TABLE p AS SELECT {string} AS path;\n")
    other.ok("upgrade", "head")
    assert str(other.scalar("SELECT path FROM p")).startswith("C:")


def test_a_database_that_a_source_names_has_to_read_strings_as_it_is_read(
    project: Project, made: Made
) -> None:
    other = made("", "SET standard_conforming_strings = off").database
    project.wrapped(a1=f"SELECT 'a\\b';\n--MSSDATABASE={other}\n")
    result = project.upgrade()
    assert result.code == 1
    assert f"a1.sql:1:1: database {other} has standard_conforming_strings" in result.text


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


# -- scripts -------------------------------------------------------------------------------


def test_a_script_does_not_record_what_has_failed(project: Project) -> None:
    project.wrapped(
        a1="CREATE TABLE t AS SELECT 1 AS i FROM generate_series(1, 2);\n",
        a2="CREATE UNIQUE INDEX CONCURRENTLY t_i ON t (i);\n",
    )
    assert isinstance(project.url, URL)
    done = psql(project.url, project.ok("upgrade", "head", "--sql").output)
    assert b"could not create unique index" in done.stderr
    assert not project.scalar(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('t_i')"
    )
    assert project.ledger().get("a2") != "SUCCESS"
    assert "nothing to do" not in project.upgrade().text


def test_a_script_downwards_undoes_nothing_that_says_skip(project: Project) -> None:
    project.query("CREATE TABLE public.t AS SELECT 1 AS precious")
    project.source("a1", "SELECT 1;\n", "SELECT 1;\n")
    project.source("a2", "--skip\nCREATE TABLE public.t ();\n", "DROP TABLE public.t;\n")
    project.wrapped()
    assert isinstance(project.url, URL)
    psql(project.url, project.ok("upgrade", "head", "--sql").output, *STOP)
    assert project.ledger()["a2"] == "SKIPPED"
    ends = f"{revision_id('a2')}:{revision_id('a1')}"
    refused = project.alembic("downgrade", ends, "--sql")
    assert refused.code == 1
    assert "a2.sql: says --skip, so only the ledger knows" in refused.text
    project.ok("downgrade", revision_id("a1"))
    assert project.query("TABLE public.t") == [(1,)]


def test_a_script_keeps_its_letters_in_a_database_of_another_encoding(
    project: Project, made: Made
) -> None:
    text = "CREATE TABLE public.t AS SELECT 'Zürich'::text AS town;\n"
    script, run = (
        Project(project.folder / name, made(LATIN1, "")) for name in ("script", "run")
    )
    for one in (script, run):
        one.wrapped(a1=text)
    assert isinstance(script.url, URL)
    assert psql(script.url, script.ok("upgrade", "head", "--sql").output, *STOP).returncode == 0
    run.ok("upgrade", "head")
    town = "SELECT town FROM public.t"
    assert run.scalar(town) == "Zürich"
    assert script.scalar(town) == "Zürich"


@pytest.mark.parametrize(
    "text",
    [
        f"BEGIN ISOLATION LEVEL SERIALIZABLE;\n{ISOLATION}COMMIT;\n",
        f"BEGIN;\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\n{ISOLATION}COMMIT;\n",
    ],
)
def test_the_first_revision_of_a_script_may_have_a_level(project: Project, text: str) -> None:
    project.wrapped(a1=text)
    assert isinstance(project.url, URL)
    done = psql(project.url, project.ok("upgrade", "head", "--sql").output, *STOP)
    assert done.returncode == 0, done.stderr.decode()
    assert project.scalar("SELECT i FROM seen") == "serializable"


def test_a_script_holds_the_rows_of_a_file_with_crlf(project: Project) -> None:
    project.wrapped(
        a1="CREATE TABLE t (i int, n text);\r\nCOPY t FROM stdin;\r\n1\tx\r\n2\ty\r\n\\.\r\n"
    )
    assert isinstance(project.url, URL)
    done = psql(project.url, project.ok("upgrade", "head", "--sql").output, *STOP)
    assert done.returncode == 0, done.stderr.decode()


def test_nothing_of_a_session_is_left_for_the_next_step_of_a_script(project: Project) -> None:
    project.wrapped(a1="PREPARE q AS SELECT 1;\n", a2="PREPARE q AS SELECT 2;\n")
    assert isinstance(project.url, URL)
    done = psql(project.url, project.ok("upgrade", "head", "--sql").output, *STOP)
    assert done.returncode == 0, done.stderr.decode()


def test_what_a_script_has_begun_outside_a_transaction_is_not_done_twice(
    project: Project,
) -> None:
    off = (
        "-- pgpipe: transaction = off\nINSERT INTO t VALUES (1);\nINSERT INTO t VALUES ({});\n"
    )
    project.wrapped(a1="CREATE TABLE t (i int);\n", a2=off.format("1/0"))
    assert isinstance(project.url, URL)
    psql(project.url, project.ok("upgrade", "head", "--sql").output, *STOP)
    assert project.query("TABLE t") == [(1,)]
    project.source("a2", off.format(2))
    asked_for = project.upgrade().text
    assert "a2): its row says RUNNING, no attempt at it is recorded" in asked_for
    assert project.query("TABLE t") == [(1,)]
    project.query("DELETE FROM t")
    project.ok("pgpipe", "repair", "--not-applied", "a2", "--yes")
    project.ok("upgrade", "head")
    assert project.query("SELECT i FROM t ORDER BY i") == [(1,), (2,)]


TWICE = "-- pgpipe: transaction = off\nINSERT INTO t VALUES (1);\nINSERT INTO t VALUES ({});\n"


@pytest.mark.parametrize("before", ["failed", "taken back"])
def test_a_script_that_stops_is_remembered_whatever_was_tried_before(
    project: Project, before: str
) -> None:
    project.source("a1", "CREATE TABLE t (i int);\n", "DROP TABLE t;\n")
    project.source("a2", "SELECT 1/0;\n", "DELETE FROM t;\n")
    project.wrapped()
    assert project.upgrade().code == 1
    if before == "taken back":
        project.source("a2", "SELECT 1;\n", "DELETE FROM t;\n")
        project.ok("upgrade", "head")
        project.ok("downgrade", "-1")
    project.source("a2", TWICE.format("1/0"), "DELETE FROM t;\n")
    assert isinstance(project.url, URL)
    ends = f"{revision_id('a1')}:{revision_id('a2')}"
    psql(project.url, project.ok("upgrade", ends, "--sql").output, *STOP)
    project.source("a2", TWICE.format(2), "DELETE FROM t;\n")
    assert "a2): its row says RUNNING" in project.upgrade().text
    assert project.query("TABLE t") == [(1,)]


def test_a_script_downwards_that_stops_asks_as_well(project: Project) -> None:
    project.source("a1", "CREATE TABLE t (i int);\n", "DROP TABLE t;\n")
    project.source("a2", "SELECT 1;\n", TWICE.format("1/0"))
    project.wrapped()
    project.ok("upgrade", "head")
    assert isinstance(project.url, URL)
    ends = f"{revision_id('a2')}:{revision_id('a1')}"
    psql(project.url, project.ok("downgrade", ends, "--sql").output, *STOP)
    assert project.query("TABLE t") == [(1,)]
    project.source("a2", "SELECT 1;\n", TWICE.format("2"))
    assert project.alembic("pgpipe", "repair", "--yes").code == 6
    assert project.alembic("downgrade", "-1").code == 1
    assert project.query("TABLE t") == [(1,)]


def test_a_script_keeps_a_python_revision_in_one_piece(project: Project) -> None:
    level = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\nSELECT 1/0;\n"
    project.source("parts/one", level)
    made = '    op.execute("CREATE TABLE public.left_behind ()")\n    op.run_source'
    project.write("alembic/versions/py.py", PYTHON.replace("    op.run_source", made))
    assert isinstance(project.url, URL)
    done = psql(project.url, project.ok("upgrade", "head", "--sql").output, *STOP)
    assert done.returncode != 0
    assert project.scalar("SELECT to_regclass('public.left_behind')") is None
