"""Ship: Alembic's own commands keep working, and the ledger follows each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import URL, Connection

from alembic_pgpipe.connect.database import Database
from alembic_pgpipe.connect.lock import lock_key
from alembic_pgpipe.revisions.wrapper import revision_id
from tests.conftest import Connect
from tests.project import Project

TABLE = "CREATE TABLE public.{0} (id int);\n"
A1, A2, A3 = map(revision_id, ("a1", "a2", "a3"))
PYTHON = '''\
"""{0}"""
from alembic import op
import sqlalchemy as sa
revision = {0!r}
down_revision = {1!r}
branch_labels = {2!r}
depends_on = {3!r}


def upgrade():
    op.create_table({0!r}, sa.Column("id", sa.Integer))


def downgrade():
    op.drop_table({0!r})
'''


def three(project: Project) -> Project:
    """Write a1, a2 and a3, each with its undo, and their wrappers."""
    for name in ("a1", "a2", "a3"):
        project.source(name, TABLE.format(name), f"DROP TABLE public.{name};\n")
    project.wrapped()
    return project


def python(
    project: Project,
    name: str,
    down: str | tuple[str, ...] | None = None,
    label: str | None = None,
    depends_on: str | tuple[str, ...] | None = None,
) -> None:
    """Write a Python revision that makes a table of its own name."""
    text = PYTHON.format(name, down, label, depends_on)
    project.write(f"alembic/versions/{name}.py", text)


def tables(project: Project) -> set[str]:
    """Return the tables that revisions made."""
    found = project.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {name for (name,) in found if not name.startswith(("migration", "alembic_"))}


def heads(project: Project) -> set[str]:
    return {row[0] for row in project.query("SELECT version_num FROM alembic_version")}


def applied(project: Project) -> set[str]:
    return {name for name, status in project.ledger().items() if status == "SUCCESS"}


# -- upgrade ---------------------------------------------------------------------------------


def test_upgrade_applies_records_and_logs(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"))
    result = project.upgrade()
    assert result.code == 0, result.text
    assert project.ledger() == {"a1": "SUCCESS", "a2": "SUCCESS"}
    assert project.outcomes("a1") == [("upgrade", "SUCCESS")]
    [(number, status, logs)] = project.query(
        "SELECT build_number, status, logs FROM migration_logs"
    )
    assert (number, status) == ("local_run", "SUCCESS")
    assert "a1" in logs and "a2" in logs
    assert project.scalar("SELECT count(*) FROM alembic_version") == 1


def test_upgrade_by_one_goes_one_further(project: Project) -> None:
    three(project)
    for count in (1, 2, 3):
        project.ok("upgrade", "+1")
        assert (
            applied(project)
            == tables(project)
            == {"a1", "a2", "a3"} - {f"a{later}" for later in range(count + 1, 4)}
        )
        assert heads(project) == {revision_id(f"a{count}")}


@pytest.mark.parametrize("target", [A2, A2[:5], "head-1", f"{A1}+1"])
def test_upgrade_to_a_revision_stops_there(project: Project, target: str) -> None:
    three(project).ok("upgrade", target)
    assert applied(project) == tables(project) == {"a1", "a2"}
    assert heads(project) == {A2}


def test_upgrade_with_nothing_to_do_says_so_and_closes_its_build(project: Project) -> None:
    three(project).ok("upgrade", "head")
    attempts = project.query("SELECT * FROM migration_attempts")
    result = project.ok("upgrade", "head", env={"BUILD_NUMBER": "2", "BUILD_TAG": "shop-2"})
    assert "nothing to do" in result.output
    assert project.query("SELECT * FROM migration_attempts") == attempts
    found = "SELECT status FROM migration_logs WHERE build_number = '2'"
    assert project.scalar(found) == "SUCCESS"


def test_upgrade_with_nothing_to_do_needs_no_lock(project: Project, connect: Connect) -> None:
    project.configure(lock_wait="0")
    three(project).ok("upgrade", "head")
    assert isinstance(project.url, URL)
    with connect(project.url).cursor() as other:
        other.execute("SELECT pg_advisory_lock(%s)", (lock_key("public"),))
        project.ok("upgrade", "head")
        project.wrapped(a4=TABLE.format("a4"))
        assert project.upgrade().code == 4


def test_upgrade_with_nothing_to_do_opens_two_connections(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    @contextmanager
    def counted(database: Database, *arguments: Any, **options: Any) -> Iterator[Connection]:
        opened.append(database.label)
        with connect(database, *arguments, **options) as connection:
            yield connection

    connect = Database.connect
    three(project).ok("upgrade", "head")
    monkeypatch.setattr(Database, "connect", counted)
    project.ok("upgrade", "head")
    assert len(opened) == 2


def test_upgrade_joins_branches_and_what_they_depend_on(project: Project) -> None:
    python(project, "root")
    python(project, "left", "root")
    python(project, "right", "root", label="rightside")
    python(project, "needs", "right", depends_on="left")
    python(project, "joined", ("left", "needs"))
    project.ok("upgrade", "rightside@needs")
    assert applied(project) == tables(project) == {"root", "left", "right", "needs"}
    project.ok("upgrade", "head")
    assert applied(project) == {"root", "left", "right", "needs", "joined"}
    assert heads(project) == {"joined"}


def two_lines(project: Project) -> Project:
    """Write two lines of revisions, apart from the base on, by label."""
    python(project, "shop1", label="shop")
    python(project, "shop2", "shop1")
    python(project, "mail1", label="mail", depends_on="shop1")
    python(project, "mail2", "mail1")
    return project


def test_upgrade_of_one_labelled_branch_takes_along_what_it_needs(project: Project) -> None:
    two_lines(project).ok("upgrade", "mail@head")
    assert applied(project) == tables(project) == {"shop1", "mail1", "mail2"}
    project.ok("upgrade", "shop@head")
    assert applied(project) == {"shop1", "shop2", "mail1", "mail2"}
    assert heads(project) == {"shop2", "mail2"}


def test_upgrade_to_heads_applies_every_branch(project: Project) -> None:
    result = two_lines(project).upgrade()
    assert result.code == 1
    assert "alembic pgpipe wrap --merge" in result.text
    project.ok("upgrade", "heads")
    assert len(applied(project)) == 4
    assert "nothing to do" in project.ok("upgrade", "heads").output


# -- downgrade -------------------------------------------------------------------------------


def test_downgrade_by_one_and_to_a_revision_and_to_base(project: Project) -> None:
    three(project).ok("upgrade", "head")
    project.ok("downgrade", "-1")
    assert project.ledger() == {"a1": "SUCCESS", "a2": "SUCCESS", "a3": "ROLLED_BACK"}
    assert heads(project) == {A2}
    project.ok("downgrade", A1)
    assert applied(project) == tables(project) == {"a1"}
    result = project.ok("downgrade", "base")
    assert "rolled back in" in result.output
    assert project.ledger() == dict.fromkeys(("a1", "a2", "a3"), "ROLLED_BACK")
    assert heads(project) == tables(project) == set()
    assert "nothing to do" in project.ok("downgrade", "base").output


def test_downgrade_of_one_branch_leaves_the_other(project: Project) -> None:
    two_lines(project).ok("upgrade", "heads")
    project.ok("downgrade", "mail@base")
    assert applied(project) == tables(project) == {"shop1", "shop2"}
    assert project.ledger()["mail1"] == "ROLLED_BACK"
    project.ok("upgrade", "heads")
    assert len(applied(project)) == 4


def test_downgrade_of_a_merge_goes_down_both_branches(project: Project) -> None:
    python(project, "root")
    python(project, "left", "root")
    python(project, "right", "root")
    python(project, "joined", ("left", "right"))
    project.ok("upgrade", "head")
    project.ok("downgrade", "left")
    assert heads(project) == {"left", "right"}
    assert applied(project) == {"root", "left", "right"}
    project.ok("downgrade", "root")
    assert applied(project) == tables(project) == {"root"}


# -- stamp -----------------------------------------------------------------------------------


def test_stamp_runs_nothing_and_records_what_it_passes(project: Project) -> None:
    three(project)
    assert "stamped: 2 upwards, 0 downwards" in project.ok("stamp", A2).output
    assert applied(project) == {"a1", "a2"}
    assert project.outcomes("a1") == [("upgrade", "STAMPED")]
    project.ok("upgrade", "head")
    assert tables(project) == {"a3"}


def test_stamp_of_several_heads_records_every_branch(project: Project) -> None:
    two_lines(project).ok("stamp", "heads")
    assert applied(project) == {"shop1", "shop2", "mail1", "mail2"}
    assert heads(project) == {"shop2", "mail2"}
    assert tables(project) == set()


def test_stamp_of_one_branch_records_what_it_depends_on(project: Project) -> None:
    two_lines(project).ok("stamp", "mail@head")
    assert applied(project) == {"shop1", "mail1", "mail2"}
    project.ok("upgrade", "heads")
    assert tables(project) == {"shop2"}


# -- the commands that only look ---------------------------------------------------------------


def test_current_names_the_revision_and_whether_it_is_the_head(project: Project) -> None:
    three(project)
    assert project.ok("current").output == ""
    project.ok("upgrade", A2)
    assert project.ok("current").output.split() == [A2]
    project.ok("upgrade", "head")
    assert project.ok("current").output.split() == [A3, "(head)"]
    assert f"Revision ID: {A3}" in project.ok("current", "-v").output
    assert project.ok("current", "--check-heads").code == 0


def test_history_shows_messages_files_and_where_the_database_is(project: Project) -> None:
    three(project).ok("upgrade", A2)
    plain = project.ok("history").output
    assert [line.split()[2].strip(",") for line in plain.splitlines()] == [A3, A2, A1]
    verbose = project.ok("history", "-v").output
    assert f"Parent: {A2}" in verbose
    assert "alembic/versions" in verbose
    indicated = project.ok("history", "-i", "-r", f"{A1}:{A3}").output
    [current] = [line for line in indicated.splitlines() if "(current)" in line]
    assert A2 in current


def test_heads_branches_and_show_need_no_database(project: Project) -> None:
    three(project)
    project.url = "postgresql://nobody@127.0.0.1:1/nowhere"
    project.configure()
    assert project.ok("heads").output.split() == [A3, "(head)"]
    assert project.ok("branches").output == ""
    assert f"Revision ID: {A2}" in project.ok("show", A2).output
    assert project.ok("history").code == 0


def test_looking_creates_nothing(project: Project) -> None:
    three(project)
    for command in ("current", "history -i", "show current", "heads", "check"):
        project.alembic(*command.split())
    assert (
        project.query("SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        == []
    )
    assert not (project.folder / "migration.log").exists()


# -- Python revisions beside wrappers ----------------------------------------------------------


def test_python_revisions_and_wrappers_share_one_history(project: Project) -> None:
    python(project, "first")
    project.wrapped(a1=TABLE.format("a1"))
    python(project, "last", A1)
    assert project.upgrade().code == 0
    assert applied(project) == tables(project) == {"first", "a1", "last"}
    assert project.outcomes("last") == [("upgrade", "SUCCESS")]
    project.write("alembic/sql/a1.down.sql", "DROP TABLE a1;\n")
    project.ok("downgrade", "base")
    assert project.ledger() == dict.fromkeys(("first", "a1", "last"), "ROLLED_BACK")


def runs(project: Project, *files: str) -> None:
    """Write a Python revision that makes a table and then runs sources."""
    python(project, "both")
    path = project.folder / "alembic/versions/both.py"
    calls = "".join(f'    op.run_source("{file}")\n' for file in files)
    path.write_text(
        path.read_text().replace("\n\n\ndef downgrade", f"\n{calls}\n\ndef downgrade")
    )


def test_a_python_revision_may_run_sources(project: Project) -> None:
    project.source("parts/one", TABLE.format("one") + "SELECT 'a %, a :name, a {};';\n")
    project.source("parts/two", "BEGIN;\n" + TABLE.format("two") + "COMMIT;\n")
    runs(project, "parts/one.sql", "parts/two.sql")
    result = project.upgrade()
    assert result.code == 0, result.text
    assert tables(project) == {"one", "two", "both"}


def test_a_source_that_fails_in_a_python_revision_is_named_and_takes_all_back(
    project: Project,
) -> None:
    project.source("parts/one", "SELECT 1;\nSELECT 1/0;\n")
    runs(project, "parts/one.sql")
    result = project.upgrade()
    assert result.code == 1
    assert "alembic/sql/parts/one.sql:2:1  22012 division_by_zero" in result.text
    assert "SELECT 1/0" in result.text
    assert tables(project) == set()
    assert project.ledger() == {"both": "ERROR"}
    wanted = "SELECT file, line, sqlstate FROM migration_attempts"
    assert project.query(wanted) == [("alembic/sql/parts/one.sql", 2, "22012")]


# -- COPY --------------------------------------------------------------------------------------


def test_copy_data_reaches_the_table_as_it_stands(project: Project) -> None:
    project.wrapped(
        a1="CREATE TABLE public.t (a text, b text);\n"
        "COPY public.t (a, b) FROM stdin;\n"
        "100 %\t:name\n"
        "it's; -- no comment\t\\N\n"
        "é\\ttab\tü\n"
        "\\.\n"
        "INSERT INTO public.t VALUES ('after', NULL);\n"
    )
    result = project.upgrade()
    assert result.code == 0, result.text
    assert project.query("SELECT a, b FROM t") == [
        ("100 %", ":name"),
        ("it's; -- no comment", None),
        ("é\ttab", "ü"),
        ("after", None),
    ]


def test_copy_data_that_the_server_refuses_takes_all_back(project: Project) -> None:
    project.wrapped(a1="CREATE TABLE t (a int);\nCOPY t FROM stdin;\n1\nx\n\\.\n")
    result = project.upgrade()
    assert result.code == 1
    assert "alembic/sql/a1.sql:4:1  22P02" in result.text
    assert tables(project) == set()
