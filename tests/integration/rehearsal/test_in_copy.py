"""``check`` in a copy of the real database: it has the rows, and nothing of it stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.conftest import connect_to
from tests.project import Project, Result
from tests.roles import new_role

PEOPLE = "CREATE TABLE public.people (id int, email text);\n"
UNIQUE = "-- one each\nCREATE UNIQUE INDEX people_email ON public.people (email);\n"
TABLE = "CREATE TABLE public.{0} (id int);\n"
PYTHON = """revision = {0!r}
down_revision = {1!r}


def upgrade() -> None:
    print("it runs")
"""
HERE = "in the database of pgpipe.rehearsal_url"
NOT_REHEARSED = (
    "alembic.ini: not rehearsed (to do without: alembic pgpipe check --no-rehearsal): "
)
OLDER = (
    "note: the database of pgpipe.rehearsal_url is an older copy: {} of the project's "
    "database, run there first, met older rows"
)
ANEW = (
    "Make it a copy of the project's database anew, or remove the option: then a scratch "
    "server is used."
)
CATALOG = """
    SELECT c.oid::text, c.relname, c.relfilenode::text FROM pg_class c
    WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT oid::text, proname, '' FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace ORDER BY 1
    """

Copy = Callable[[], None]


def lines(result: Result) -> list[str]:
    """Return what was said, without excerpts and the list of what is pending."""
    left_out = ("  ", "pending: ")
    return [line for line in result.output.splitlines() if not line.startswith(left_out)]


def queried(url: URL, sql: str) -> list[tuple[Any, ...]]:
    connection = connect_to(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def everything(url: URL) -> list[list[tuple[Any, ...]]]:
    """Return all that a rehearsal could have left in a copy."""
    tables = ("people", "alembic_version", "migrations", "migration_attempts", "migration_logs")
    there = {name for _, name, _ in queried(url, CATALOG)}
    rows = [queried(url, f"TABLE public.{name}") for name in tables if name in there]
    return [queried(url, CATALOG), *rows]


def not_rehearsed(project: Project) -> str:
    """Return why ``check`` is red though nothing else is wrong."""
    result = project.alembic("pgpipe", "check")
    found, end = lines(result)
    assert result.code == 6
    assert end.endswith("read, not run: 1 problem")
    assert found.startswith(NOT_REHEARSED)
    return found.removeprefix(NOT_REHEARSED)


def ship_to(project: Project, url: URL) -> None:
    """Upgrade another database than the project's own."""
    own, project.url = project.url, url
    project.configure()
    project.ok("upgrade", "head")
    project.url = own
    project.configure()


@pytest.fixture
def copied(project: Project, second_database: URL, monkeypatch: pytest.MonkeyPatch) -> Copy:
    """Give a function that makes the rehearsal's database a copy of the project's."""

    def started(*_: object) -> None:
        pytest.fail("a scratch server was started")

    def copy() -> None:
        assert isinstance(project.url, URL)
        server, name = second_database.set(database="postgres"), second_database.database
        queried(server, f"DROP DATABASE {name}")
        queried(server, f"CREATE DATABASE {name} TEMPLATE {project.url.database}")

    monkeypatch.setattr("alembic_pgpipe.rehearsal.database.scratch_server", started)
    url = second_database.render_as_string(hide_password=False)
    project.configure(rehearsal_url=url.replace("%", "%%"))
    return copy


@pytest.fixture
def shop(project: Project, copied: Copy) -> Project:
    """Give a project whose database, and the copy of it, have people."""
    project.wrapped(a1=PEOPLE)
    project.ok("upgrade", "head")
    project.query("INSERT INTO people VALUES (1, 'a@b.c'), (2, 'a@b.c')")
    copied()
    return project


def test_rows_of_the_copy_make_a_pending_index_fail(
    shop: Project, second_database: URL
) -> None:
    before = everything(second_database)
    shop.wrapped(
        a2=TABLE.format("b") + "INSERT INTO b VALUES (1);\n", a3=UNIQUE, a4="SELECT 1;\n"
    )
    result = shop.alembic("pgpipe", "check")
    assert result.code == 6
    assert lines(result) == [
        (
            f"alembic/sql/a3.sql:2:1: fails {HERE}: could not create unique index "
            '"people_email" (23505). Key (email)=(a@b.c) is duplicated'
        ),
        f"2 of 3 pending revisions run {HERE}, and rolled back: 1 problem",
    ]
    assert everything(second_database) == before
    assert shop.ledger() == {"a1": "SUCCESS"}


def test_all_that_goes_through_is_rolled_back(shop: Project, second_database: URL) -> None:
    before = everything(second_database)
    shop.wrapped(
        a2="DELETE FROM people WHERE id = 2;\n",
        a3=f"BEGIN ISOLATION LEVEL SERIALIZABLE;\n{UNIQUE}COMMIT;\n",
        a4=f"--skip\n{PEOPLE}",
        a5="ALTER TABLE people ADD age int;\n",
    )
    # The routines are tried behind what is pending.
    text = "CREATE VIEW public.ages AS SELECT age FROM public.people;\n"
    shop.write("alembic/routines/ages.sql", text)
    assert lines(shop.ok("pgpipe", "check")) == [
        (
            "3 pending revisions and 1 changed routine file run in the database of "
            "pgpipe.rehearsal_url, and rolled back: no problems"
        )
    ]
    shop.write("alembic/routines/ages.sql", text.replace("age ", "nope "))
    assert shop.alembic("pgpipe", "check").code == 6
    assert everything(second_database) == before


def test_each_file_has_a_session_of_its_own(shop: Project) -> None:
    shop.wrapped(
        a2="SET search_path = pg_catalog; SET lock_timeout = '7s';\n"
        "SET ROLE pg_monitor; CREATE TEMP TABLE people (id int);\n",
        a3="-- pgpipe: statement_timeout = 9s\n-- pgpipe: role = pg_read_all_data\n"
        "DO $$ BEGIN ASSERT current_setting('search_path') = '\"$user\", public';\n"
        "ASSERT current_setting('lock_timeout') = '0' AND current_user = 'pg_read_all_data';\n"
        "ASSERT current_setting('statement_timeout') = '9s';\n"
        "ASSERT (SELECT count(*) FROM people) = 2; END $$;\n",
    )
    assert lines(shop.ok("pgpipe", "check")) == [
        f"2 pending revisions run {HERE}, and rolled back: no problems"
    ]


def test_what_is_deferred_is_checked_behind_its_file(shop: Project) -> None:
    shop.wrapped(
        a2="CREATE TABLE c (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);\n"
        "CREATE TABLE d (id int UNIQUE DEFERRABLE INITIALLY IMMEDIATE);\n",
        a3="INSERT INTO c VALUES (1), (1);\nDELETE FROM c;\n",
        a4="INSERT INTO c VALUES (1), (1);\n",
        a5="SELECT 1;\n",
    )
    found = lines(shop.alembic("pgpipe", "check"))
    assert found[0].startswith(f"alembic/sql/a4.sql: fails {HERE}: duplicate key value")
    shop.source("a4", "INSERT INTO d VALUES (1);\nINSERT INTO d VALUES (1);\n")
    found = lines(shop.alembic("pgpipe", "check"))
    assert found[0].startswith(f"alembic/sql/a4.sql:2:1: fails {HERE}: duplicate key value")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CREATE INDEX CONCURRENTLY i ON people (id);\n", "it does not run in a transaction"),
        ("-- pgpipe: transaction = off\nSELECT 1;\n", "it does not run in a transaction"),
        ("SELECT 1;\n--MSSDATABASE=other\n", "it runs in another database, other"),
        (
            "GRANT SELECT ON people TO nobody_here;\n",
            'role "nobody_here" does not exist (42704)',
        ),
    ],
    ids=["concurrently", "off", "database", "role"],
)
def test_what_cannot_be_tried_stops_with_a_note(
    shop: Project, second_database: URL, text: str, reason: str
) -> None:
    before = everything(second_database)
    shop.wrapped(a2=TABLE.format("b"), a3=text, a4="SELECT 1/0;\n")
    found = lines(shop.ok("pgpipe", "check"))
    assert found[-2:] == [
        f"note: alembic/sql/a3.sql was not tried {HERE}, nor was what follows it: {reason}",
        f"1 of 3 pending revisions run {HERE}, and rolled back: no problems",
    ]
    assert everything(second_database) == before


def test_a_value_that_needs_a_commit_first_is_nobody_s_fault(
    project: Project, copied: Copy
) -> None:
    project.wrapped(a1="CREATE TYPE mood AS ENUM ('good');\n")
    project.ok("upgrade", "head")
    copied()
    both = "ALTER TYPE mood ADD VALUE 'bad';\n", "SELECT 'bad'::mood;\n"
    project.wrapped(a2=both[0], a3=both[1])
    found = lines(project.ok("pgpipe", "check"))
    assert found[0].startswith(f"note: alembic/sql/a3.sql was not tried {HERE}")
    assert "it needs a transaction of its own: unsafe use of new value" in found[0]
    project.source("a2", "".join(both))
    found = lines(project.alembic("pgpipe", "check"))
    assert found[0].startswith(f"alembic/sql/a2.sql:2:8: fails {HERE}: unsafe use of")


def test_a_python_revision_stops_it_and_so_does_a_wrapper_that_does_more(
    shop: Project,
) -> None:
    shop.write("alembic/versions/p.py", PYTHON.format("p", revision_id("a1")))
    shop.wrapped(a2="SELECT 1/0;\n")
    assert lines(shop.ok("pgpipe", "check")) == [
        (
            f"note: alembic/versions/p.py was not tried {HERE}, nor was what follows it: a "
            "Python revision may commit what it does"
        ),
        "2 pending revisions read, not run: no problems",
    ]
    (shop.folder / "alembic/versions/p.py").unlink()
    wrapper = next((shop.folder / "alembic/versions").glob("*a2*"))
    text = wrapper.read_text().replace("= 'p'", f"= {revision_id('a1')!r}")
    wrapper.write_text(
        text.replace("    op.run_source(source)", "    op.run_source(source); 1")
    )
    assert "a2.py does more than to run it" in lines(shop.ok("pgpipe", "check"))[0]


def test_a_copy_that_takes_no_writes_is_a_problem(shop: Project, second_database: URL) -> None:
    name = second_database.database
    queried(second_database, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    shop.wrapped(a2=TABLE.format("b"))
    assert not_rehearsed(shop).startswith(
        "The database in pgpipe.rehearsal_url takes no writes, as a standby. Name one"
    )


# --- where the copy is ---


def test_the_project_s_own_database_is_no_copy(shop: Project) -> None:
    assert isinstance(shop.url, URL)
    own = shop.url.render_as_string(hide_password=False).replace("%", "%%")
    shop.configure(rehearsal_url=own)
    shop.wrapped(a2="LOCK TABLE people;\nSELECT 1/0;\n")
    assert not_rehearsed(shop) == (
        "pgpipe.rehearsal_url names the project's own database, where what is tried would "
        "lock people out. Let it name a copy, or remove the option: then a scratch server is "
        "used."
    )


def test_an_older_copy_is_brought_to_where_the_project_s_database_is(
    shop: Project, second_database: URL
) -> None:
    before = everything(second_database)
    shop.wrapped(a2="DELETE FROM people WHERE id = 2;\n", a3=TABLE.format("b"))
    shop.ok("upgrade", "head")
    shop.wrapped(a4=UNIQUE, a5="INSERT INTO b VALUES (1);\n")
    assert lines(shop.ok("pgpipe", "check")) == [
        OLDER.format("2 revisions"),
        f"2 pending revisions run {HERE}, and rolled back: no problems",
    ]
    shop.source("a5", "INSERT INTO c VALUES (1);\n")
    found = lines(shop.alembic("pgpipe", "check"))
    assert found[0].startswith(f"alembic/sql/a5.sql:1:13: fails {HERE}: relation")
    assert found[-1] == f"2 pending revisions run {HERE}, and rolled back: 1 problem"
    assert everything(second_database) == before


def test_what_the_database_has_skipped_an_older_copy_skips_as_well(
    shop: Project,
) -> None:
    shop.wrapped(a2=UNIQUE)
    assert shop.alembic("upgrade", "head").code == 1
    shop.ok("pgpipe", "skip", "a2", "--reason", "later")
    shop.wrapped(a3=TABLE.format("b"))
    shop.ok("upgrade", "head")
    shop.wrapped(a4="INSERT INTO b VALUES (1);\n")
    assert lines(shop.ok("pgpipe", "check")) == [
        OLDER.format("1 revision"),
        f"1 pending revision run {HERE}, and rolled back: no problems",
    ]


def test_what_the_copy_has_skipped_is_run_there_where_the_database_has_it(
    shop: Project, copied: Copy
) -> None:
    shop.wrapped(a2="CREATE TABLE late AS SELECT 1 / count(*) FROM people WHERE id < 3;\n")
    shop.query("DELETE FROM people")
    assert shop.alembic("upgrade", "head").code == 1
    shop.ok("pgpipe", "skip", "a2", "--reason", "later")
    shop.ok("upgrade", "head")
    shop.query("INSERT INTO people VALUES (1, 'c')")
    copied()
    shop.ok("pgpipe", "retry", "a2")
    shop.ok("upgrade", "head")
    shop.wrapped(a3="DELETE FROM late;\n")
    assert lines(shop.ok("pgpipe", "check"))[1:] == [
        f"1 pending revision run {HERE}, and rolled back: no problems"
    ]


def test_a_merge_does_nothing_that_could_stop_a_rehearsal(shop: Project) -> None:
    shop.wrapped(a2=TABLE.format("b"))
    [ahead] = (shop.folder / "alembic/versions").glob(f"{revision_id('a2')}*")
    text = ahead.read_text()
    ahead.unlink()
    shop.source("a3", TABLE.format("c"))
    (shop.folder / "alembic/sql/a2.sql").rename(shop.folder / "a2.sql")
    shop.ok("pgpipe", "wrap")
    (shop.folder / "a2.sql").rename(shop.folder / "alembic/sql/a2.sql")
    ahead.write_text(text)
    shop.ok("pgpipe", "wrap", "--merge")
    shop.wrapped(a4="SELECT 1/0;\n")
    found = lines(shop.alembic("pgpipe", "check"))
    assert found[0].startswith(f"alembic/sql/a4.sql:1:1: fails {HERE}: division by zero")


def test_an_empty_database_is_no_copy_of_one_that_is_not(
    shop: Project, second_database: URL
) -> None:
    server, name = second_database.set(database="postgres"), second_database.database
    queried(server, f"DROP DATABASE {name}")
    queried(server, f"CREATE DATABASE {name}")
    shop.wrapped(a2=UNIQUE)
    assert not_rehearsed(shop) == (
        "The database in pgpipe.rehearsal_url is at the base, and the project's database at "
        f"{revision_id('a1')}. {ANEW}"
    )


@pytest.mark.parametrize("text", ["-- pgpipe: role = {}\n", "SET LOCAL ROLE {};\n"])
def test_a_right_that_the_role_of_a_file_lacks_is_the_file_s_fault(
    shop: Project, second_database: URL, text: str
) -> None:
    with (
        new_role(shop, "app_") as app,
        new_role(shop, "copier_", "LOGIN SUPERUSER") as copier,
    ):
        url = second_database.set(username=copier).render_as_string(hide_password=False)
        shop.configure(rehearsal_url=url.replace("%", "%%"))
        shop.wrapped(a2=f"{text.format(app)}DELETE FROM people;\n")
        result = shop.alembic("pgpipe", "check")
    assert result.code == 6
    assert lines(result)[0].startswith(f"alembic/sql/a2.sql:2:1: fails {HERE}: permission")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CREATE INDEX CONCURRENTLY i ON people (id);\n", "it does not run in a transaction"),
        (
            "INSERT INTO only_there VALUES (1);\n",
            'relation "only_there" does not exist (42P01)',
        ),
    ],
    ids=["concurrently", "other rows"],
)
def test_a_copy_that_cannot_be_brought_there_is_a_problem(
    shop: Project, text: str, reason: str
) -> None:
    shop.query("CREATE TABLE only_there (id int)")
    shop.wrapped(a2=text)
    shop.ok("upgrade", "head")
    shop.wrapped(a3="SELECT 1;\n")
    assert not_rehearsed(shop) == (
        f"{revision_id('a2')} (a2), which the project's database has, does not run in the "
        f"older database of pgpipe.rehearsal_url: {reason}. {ANEW}"
    )


def test_a_copy_of_another_state_is_not_used(shop: Project, second_database: URL) -> None:
    shop.wrapped(a2=TABLE.format("b"))
    ship_to(shop, second_database)
    shop.wrapped(a3="SELECT 1/0;\n")
    assert not_rehearsed(shop) == (
        f"The database in pgpipe.rehearsal_url is at {revision_id('a2')}, and the project's "
        f"database at {revision_id('a1')}. {ANEW}"
    )


def test_a_copy_that_does_not_answer_is_a_problem_and_reading_goes_on(shop: Project) -> None:
    shop.configure(rehearsal_url="postgresql://someone@localhost:1/copy")
    shop.wrapped(a2="SELECT 'open;\n")
    result = shop.alembic("pgpipe", "check")
    assert result.code == 6
    assert result.output.startswith("alembic/sql/a2.sql:1:8: ")
    shop.source("a2", "SELECT 1;\n")
    said = not_rehearsed(shop)
    assert said.startswith("pgpipe.rehearsal_url: ")
    assert said.endswith("network, then: try again")
    shop.write("alembic/routines/v.sql", "CREATE VIEW public.v AS SELECT 1 AS one;\n")
    wrapped = shop.alembic("pgpipe", "wrap")
    assert wrapped.code == 5
    assert wrapped.text.strip().endswith("network, then: try again")
    (shop.folder / "alembic/routines/v.sql").unlink()
    assert shop.alembic("pgpipe", "check", "--no-rehearsal").code == 0


def test_a_url_that_cannot_be_read_is_not_said_to_be_the_project_s(shop: Project) -> None:
    shop.configure(rehearsal_url="nonsense")
    shop.wrapped(a2="SELECT 1;\n")
    said = not_rehearsed(shop)
    assert said.startswith("pgpipe.rehearsal_url: pgpipe.rehearsal_url cannot be read. Write")
    assert "sqlalchemy.url" not in said


def test_a_right_that_the_copy_s_user_lacks_is_not_the_file_s_fault(
    shop: Project, second_database: URL
) -> None:
    with new_role(shop, "reader_", "LOGIN IN ROLE pg_read_all_data") as reader:
        url = second_database.set(username=reader).render_as_string(hide_password=False)
        shop.configure(rehearsal_url=url.replace("%", "%%"))
        shop.wrapped(a2="DELETE FROM people;\n")
        found = lines(shop.ok("pgpipe", "check"))
    assert found == [
        (
            f"note: alembic/sql/a2.sql was not tried {HERE}, nor was what follows it: "
            "permission denied for table people, and it is another user, postgres, who ships"
        ),
        "1 pending revision read, not run: no problems",
    ]


def test_a_right_that_the_shipper_lacks_is_a_problem(shop: Project) -> None:
    shop.wrapped(a2="SET ROLE pg_monitor;\nDELETE FROM people;\n")
    result = shop.alembic("pgpipe", "check")
    assert result.code == 6
    assert lines(result)[0].startswith(f"alembic/sql/a2.sql:2:1: fails {HERE}: permission")


def test_a_database_at_the_head_is_one_in_which_nothing_was_tried(
    shop: Project, second_database: URL
) -> None:
    shop.wrapped(a2=TABLE.format("b"))
    ship_to(shop, second_database)
    assert not_rehearsed(shop) == (
        f"{HERE[3:]} is at the head already, and the project's database at "
        f"{revision_id('a1')}. {ANEW}"
    )
    shop.write("alembic/routines/v.sql", "CREATE VIEW public.v AS SELECT id FROM public.b;\n")
    assert lines(shop.alembic("pgpipe", "check"))[-1] == (
        f"0 of 1 pending revision and 1 changed routine file run {HERE}, and rolled back: "
        "1 problem"
    )


def test_what_is_to_be_retried_is_tried_first(shop: Project, copied: Copy) -> None:
    shop.wrapped(a2=UNIQUE)
    assert shop.alembic("upgrade", "head").code == 1
    shop.ok("pgpipe", "skip", "a2", "--reason", "later")
    shop.ok("upgrade", "head")
    shop.ok("pgpipe", "retry", "a2")
    copied()
    shop.wrapped(a3="DELETE FROM people;\n")
    found = lines(shop.alembic("pgpipe", "check"))
    assert found[0].startswith(f"alembic/sql/a2.sql:2:1: fails {HERE}: could not create")
    assert found[-1] == f"1 of 2 pending revisions run {HERE}, and rolled back: 1 problem"


def test_wrap_runs_there_what_is_pending_ahead_of_its_routines(
    shop: Project, second_database: URL
) -> None:
    before = everything(second_database)
    shop.wrapped(a2="ALTER TABLE people ADD age int;\n")
    shop.write(
        "alembic/routines/ages.sql", "CREATE VIEW public.ages AS SELECT age FROM people;\n"
    )
    shop.ok("pgpipe", "wrap")
    assert (shop.folder / "alembic/sql/ages.v001.sql").exists()
    assert everything(second_database) == before
    shop.ok("pgpipe", "check")


def test_wrap_says_what_to_do_where_a_pending_file_cannot_be_run_there(shop: Project) -> None:
    shop.wrapped(a2="CREATE INDEX CONCURRENTLY i ON people (id);\n")
    shop.write("alembic/routines/v.sql", "CREATE VIEW public.v AS SELECT 1 AS one;\n")
    result = shop.alembic("pgpipe", "wrap")
    assert result.code != 0
    assert result.text.strip().endswith(
        f"alembic/sql/a2.sql was not tried {HERE}, nor was what follows it: it does not run in "
        "a transaction. Bring that database past it, or remove the option: then a scratch "
        "server is used."
    )
    assert not list((shop.folder / "alembic/sql").glob("v.*"))
