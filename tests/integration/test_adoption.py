"""An Alembic project with a history of its own adopts the plugin, and then adds sources."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project

CONTEXT = "from alembic import context\n"
IMPORT = "from alembic_pgpipe.environment import run\n"
CALL = "run(context, target_metadata=target_metadata)\n"
# Whatever runs leaves its name behind: this is how a second run of it would show.
RAN = "op.execute(\"INSERT INTO public.ran VALUES ('{0}')\")"
FAILS = 'op.execute("SELECT 1/0")'
REVISION = '''"""{0}"""

from alembic import op
import sqlalchemy as sa

revision = {0!r}
down_revision = {1!r}


def upgrade() -> None:
    {2}


def downgrade() -> None:
    pass
'''


class Foreign(Project):
    """A project that plain ``alembic init`` wrote."""

    generic = "generic"

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.ok("init", "-t", self.generic, "alembic")
        self.configure()

    def configure(self, **options: str) -> None:
        """Name the database, and add options of ours, in the file that Alembic wrote."""
        self.options.update(options)
        shown = self.url
        if isinstance(shown, URL):
            shown = shown.render_as_string(hide_password=False)
        lines = [f"sqlalchemy.url = {shown.replace('%', '%%')}"]
        lines += [f"pgpipe.{name} = {value}" for name, value in self.options.items()]
        self.edit("alembic.ini", r"(?m)^sqlalchemy.url = .*(\npgpipe.*)*$", "\n".join(lines))

    def edit(self, name: str, pattern: str, text: str) -> None:
        path = self.folder / name
        edited, count = re.subn(pattern, lambda _: text, path.read_text("utf-8"))
        assert count == 1
        path.write_text(edited, encoding="utf-8")

    def adopt(self, call: str = CALL) -> None:
        """Do to env.py what the README says: one import, and one call for two."""
        self.edit("alembic/env.py", r"(?s)def run_migrations_offline.*", call)
        self.edit("alembic/env.py", CONTEXT, CONTEXT + IMPORT)

    def python(self, revision: str, after: str | None, body: str = RAN) -> None:
        text = REVISION.format(revision, after, body.format(revision))
        self.write(f"alembic/versions/{revision}.py", text)

    @property
    def ran(self) -> list[str]:
        return [name for (name,) in self.query("SELECT name FROM ran ORDER BY name")]


@pytest.fixture
def project(tmp_path: Path, database: URL) -> Foreign:
    """Give a project with two Python revisions that plain Alembic has applied."""
    return applied(Foreign(tmp_path / "foreign", database))


def applied(project: Foreign) -> Foreign:
    project.query("CREATE TABLE public.ran (name text)")
    project.python("p1", None)
    project.python("p2", "p1")
    project.ok("upgrade", "head")
    assert project.ran == ["p1", "p2"]
    return project


# -- the move ------------------------------------------------------------------------------


def test_the_applied_history_is_recorded_and_not_run_again(project: Foreign) -> None:
    project.adopt()
    result = project.upgrade()
    assert result.code == 0, result.text
    assert "2 revisions applied before the ledger was kept" in result.text
    assert project.ledger() == {"p1": "SUCCESS", "p2": "SUCCESS"}
    assert project.outcomes("p1") == [("upgrade", "ADOPTED")]
    assert project.ran == ["p1", "p2"]
    assert "nothing to do" in project.upgrade().text


def test_status_knows_the_history_before_any_run(project: Foreign) -> None:
    project.adopt()
    assert project.status() == {"p1": "SUCCESS", "p2": "SUCCESS"}
    assert project.scalar("SELECT to_regclass('public.migrations')") is None


def test_a_source_is_added_behind_the_python_revisions(project: Foreign) -> None:
    project.adopt()
    project.wrapped(s1="INSERT INTO ran VALUES ('s1');\n")
    project.python("p3", revision_id("s1"))
    assert project.upgrade().code == 0
    assert project.ran == ["p1", "p2", "p3", "s1"]
    assert project.ledger() == dict.fromkeys(("p1", "p2", "s1", "p3"), "SUCCESS")
    assert project.query("SELECT version_num FROM alembic_version") == [("p3",)]


def test_every_command_of_alembic_still_works(project: Foreign) -> None:
    project.adopt()
    assert "p2 (head)" in project.ok("current").text
    assert "p1 -> p2" in project.ok("history").text
    assert "p2" in project.ok("heads").text
    assert "INSERT INTO public.ran" in project.ok("upgrade", "base:head", "--sql").text
    project.ok("downgrade", "p1")
    project.ok("stamp", "head")
    assert project.ran == ["p1", "p2"]
    assert project.ledger() == {"p1": "SUCCESS", "p2": "SUCCESS"}


def test_alembic_revision_still_writes_python_with_the_project_s_template(
    project: Foreign,
) -> None:
    project.adopt()
    project.ok("revision", "-m", "by hand")
    [path] = (project.folder / "alembic/versions").glob("*_by_hand.py")
    assert "run_source" not in path.read_text()
    assert not (project.folder / "alembic/sql").exists()


@pytest.mark.parametrize("verb", ["skip", "retry"])
def test_what_is_applied_cannot_be_decided_on_before_any_run(
    project: Foreign, verb: str
) -> None:
    project.adopt()
    result = project.alembic("pgpipe", verb, "p2", "--reason", "none")
    assert result.code == 1
    assert "p2 (p2) is SUCCESS: it is applied" in result.text
    assert project.scalar("SELECT to_regclass('public.migrations')") is None


# -- Python revisions have status, retry, skip and logs ------------------------------------


def failed(project: Foreign) -> Foreign:
    project.adopt()
    project.python("p3", "p2", f"{FAILS}  # é")
    project.python("p4", "p3")
    assert project.upgrade().code == 1
    return project


def test_a_failing_python_revision_is_error_with_its_file_in_the_logs(
    project: Foreign,
) -> None:
    assert failed(project).ledger()["p3"] == "ERROR"
    logs = project.scalar("SELECT logs FROM migrations WHERE migration_name = 'p3'")
    assert "alembic/versions/p3.py" in logs and "division by zero" in logs
    log = project.ok("pgpipe", "log").text
    assert "alembic/versions/p3.py" in log and "FAILURE" in log


def test_a_failed_python_revision_is_held(project: Foreign) -> None:
    result = failed(project).upgrade()
    assert result.code == 3
    assert "Edit alembic/versions/p3.py and run again" in result.text
    assert project.ran == ["p1", "p2"]


def test_a_failed_python_revision_is_retried_once_it_was_edited(project: Foreign) -> None:
    failed(project).python("p3", "p2")
    result = project.upgrade()
    assert result.code == 0, result.text
    assert project.ran == ["p1", "p2", "p3", "p4"]


def test_a_failed_python_revision_is_retried_by_the_command(project: Foreign) -> None:
    failed(project).ok("pgpipe", "retry", "p3", "--reason", "the disk was full")
    result = project.upgrade()
    assert result.code == 1
    assert "the disk was full" in result.text
    assert project.outcomes("p3")[-1] == ("upgrade", "ERROR")


def test_a_failed_python_revision_is_skipped_and_retried_out_of_order(
    project: Foreign,
) -> None:
    failed(project).ok("pgpipe", "skip", "p3", "--reason", "not needed")
    assert project.upgrade().code == 0
    assert project.ran == ["p1", "p2", "p4"]
    project.python("p3", "p2")
    project.ok("pgpipe", "retry", "p3")
    assert project.upgrade().code == 0
    assert project.ran == ["p1", "p2", "p3", "p4"]
    assert project.query("SELECT version_num FROM alembic_version") == [("p4",)]


def test_a_python_error_names_its_line(project: Foreign) -> None:
    project.adopt()
    project.python("p3", "p2", "op.nonsense()")
    result = project.upgrade()
    assert result.code == 1
    assert "alembic/versions/p3.py:11: AttributeError" in result.text


def test_a_python_revision_may_leave_its_transaction(project: Foreign) -> None:
    project.adopt()
    body = (
        "with op.get_context().autocommit_block():\n        "
        'op.execute("CREATE INDEX CONCURRENTLY ran_idx ON ran (name)")'
    )
    project.python("p3", "p2", body)
    assert project.upgrade().code == 0
    assert project.scalar("SELECT to_regclass('public.ran_idx')") == "ran_idx"
    assert project.ledger()["p3"] == "SUCCESS"


# -- which database ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "driver",
    ["postgresql+psycopg", "postgresql+asyncpg", "postgresql+pg8000", "postgres"],
)
def test_a_url_for_another_driver_is_used_with_psycopg2(project: Foreign, driver: str) -> None:
    assert isinstance(project.url, URL)
    project.adopt()
    project.python("p3", "p2")
    project.url = project.url.set(drivername=driver)
    project.configure()
    assert project.upgrade().code == 0
    assert project.ran == ["p1", "p2", "p3"]


@pytest.mark.parametrize("url", ["sqlite:///x.db", "mysql+pymysql://u:hidden@h/d"])
def test_another_dialect_is_refused(project: Foreign, url: str) -> None:
    project.adopt()
    project.edit("alembic.ini", r"(?m)^sqlalchemy.url = .*$", f"sqlalchemy.url = {url}")
    result = project.upgrade()
    assert result.code == 1
    assert "alembic-pgpipe is for PostgreSQL" in result.text and "hidden" not in result.text


def test_a_url_that_env_py_makes_is_used(project: Foreign) -> None:
    assert isinstance(project.url, URL)
    made = f"import sqlalchemy\nengine = sqlalchemy.create_engine({str(project.url)!r})\n"
    named = (
        "url = engine.url.render_as_string(hide_password=False)\n"
        'config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))\n'
    )
    project.adopt(made + named + CALL)
    project.edit("alembic.ini", r"(?m)^sqlalchemy.url = .*$", "")
    project.python("p3", "p2")
    assert project.upgrade().code == 0
    assert project.status()["p3"] == "SUCCESS"


def test_an_env_py_with_an_async_engine_adopts_it_too(tmp_path: Path, database: URL) -> None:
    class Async(Foreign):
        generic = "async"

    project = Async(tmp_path / "async", database.set(drivername="postgresql+asyncpg"))
    project.adopt()
    # What it imports needs greenlet, which such a project has.
    project.edit("alembic/env.py", r"from sqlalchemy.ext.asyncio import .*\n", "")
    project.query("CREATE TABLE public.ran (name text)")
    project.python("p1", None)
    assert project.upgrade().code == 0
    assert project.ran == ["p1"]


def test_an_env_py_that_does_not_call_us_is_told_what_to_add(project: Foreign) -> None:
    result = project.alembic("pgpipe", "status")
    assert result.code == 1
    assert "env.py does not call alembic-pgpipe" in result.text
    assert IMPORT.strip() in result.text


# -- where alembic_version lives -----------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ("upgrade", "head"),
        ("stamp", "head"),
        ("current",),
        ("check",),
        ("pgpipe", "status"),
        ("pgpipe", "check"),
        ("pgpipe", "skip", "p2", "--reason", "none"),
    ],
)
def test_a_history_in_another_schema_is_never_run_again(
    project: Foreign, command: tuple[str, ...]
) -> None:
    project.configure(schema="pgpipe")
    project.adopt()
    result = project.alembic(*command)
    assert result.code == 1
    assert "There is no pgpipe.alembic_version, and public.alembic_version says" in result.text
    assert "run(context, version_table_schema='public')" in result.text
    assert project.ran == ["p1", "p2"]
    assert project.scalar("SELECT to_regclass('pgpipe.alembic_version')") is None


def test_a_history_in_another_schema_stays_where_env_py_says(project: Foreign) -> None:
    project.configure(schema="pgpipe")
    project.adopt(CALL.replace("=target_metadata", "=None, version_table_schema='public'"))
    project.python("p3", "p2")
    project.ok("upgrade", "head")
    assert project.ran == ["p1", "p2", "p3"]
    assert project.query("SELECT version_num FROM public.alembic_version") == [("p3",)]
    assert project.scalar("SELECT to_regclass('pgpipe.alembic_version')") is None
    assert project.ledger("pgpipe") == dict.fromkeys(("p1", "p2", "p3"), "SUCCESS")
    assert project.status() == dict.fromkeys(("p1", "p2", "p3"), "SUCCESS")


def test_a_history_that_the_search_path_found_is_never_run_again(
    project: Foreign, database: URL
) -> None:
    project.query("CREATE SCHEMA app; ALTER TABLE alembic_version SET SCHEMA app")
    project.query(f"ALTER DATABASE {database.database} SET search_path = app, public")
    assert "p2 (head)" in project.ok("current").text
    project.adopt()
    result = project.upgrade()
    assert result.code == 1
    assert "version_table_schema='app'" in result.text
    assert project.ran == ["p1", "p2"]


def test_versions_of_another_project_are_no_obstacle(project: Foreign) -> None:
    project.query("UPDATE alembic_version SET version_num = 'theirs'; DELETE FROM ran")
    project.configure(schema="pgpipe")
    project.adopt()
    assert project.upgrade().code == 0
    assert project.ran == ["p1", "p2"]
    assert project.query("SELECT version_num FROM public.alembic_version") == [("theirs",)]


OWN_TABLE = "version_table='history', version_table_schema='app'"


def own_version_table(project: Foreign) -> None:
    project.query("CREATE SCHEMA app; ALTER TABLE alembic_version SET SCHEMA app")
    project.query("ALTER TABLE app.alembic_version RENAME TO history")


def test_a_version_table_of_the_project_s_own_is_used(project: Foreign) -> None:
    own_version_table(project)
    project.adopt(f"run(context, {OWN_TABLE})\n")
    project.python("p3", "p2")
    project.ok("upgrade", "head")
    assert project.ran == ["p1", "p2", "p3"]
    assert project.query("SELECT version_num FROM app.history") == [("p3",)]
    assert project.status() == dict.fromkeys(("p1", "p2", "p3"), "SUCCESS")
    assert project.scalar("SELECT to_regclass('public.alembic_version')") is None


def test_a_version_table_that_env_py_forgot_to_name_is_named(project: Foreign) -> None:
    own_version_table(project)
    project.adopt()
    result = project.upgrade()
    assert result.code == 1
    assert f"run(context, {OWN_TABLE})" in result.text
    assert project.ran == ["p1", "p2"]


# -- several folders, autogenerate ---------------------------------------------------------


def test_revisions_in_several_folders_are_one_history(project: Foreign) -> None:
    locations = (
        "version_locations = %(here)s/alembic/versions:%(here)s/more\npath_separator = :"
    )
    project.edit("alembic.ini", r"(?m)^path_separator = .*$", locations)
    project.adopt()
    project.write("more/p3.py", REVISION.format("p3", "p2", RAN.format("p3")))
    project.wrapped(s1="INSERT INTO ran VALUES ('s1');\n")
    assert project.upgrade().code == 0
    assert project.ran == ["p1", "p2", "p3", "s1"]
    assert project.status() == dict.fromkeys(("p1", "p2", "p3", "s1"), "SUCCESS")


METADATA = (
    "import sqlalchemy as sa\ntarget_metadata = sa.MetaData()\n"
    "sa.Table('ran', target_metadata, sa.Column('name', sa.Text))\n"
)


@pytest.mark.parametrize("schema", ["public", "pgpipe"])
@pytest.mark.parametrize("search_path", ["public", "pgpipe, public"])
def test_autogenerate_leaves_the_ledger_alone(
    project: Foreign, database: URL, schema: str, search_path: str
) -> None:
    project.configure(schema=schema)
    options = "version_table_schema='public', include_schemas=True, "
    project.adopt(METADATA + CALL.replace("target", options + "target", 1))
    project.ok("upgrade", "head")
    project.query(f"ALTER DATABASE {database.database} SET search_path = {search_path}")
    if search_path == "public":
        assert "No new upgrade operations" in project.ok("check").text
    result = project.ok("revision", "--autogenerate", "-m", "auto")
    [path] = (project.folder / "alembic/versions").glob("*_auto.py")
    for name in ("migrations", "migration_logs", "migration_attempts", "alembic_version"):
        assert f"'{name}'" not in path.read_text(), result.text


def test_autogenerate_sees_a_table_of_the_project_s_called_like_ours(project: Foreign) -> None:
    project.query("CREATE TABLE public.migrations (legs int)")
    project.configure(schema="pgpipe")
    project.adopt(METADATA + CALL.replace("target", "version_table_schema='public', target", 1))
    project.ok("upgrade", "head")
    project.ok("revision", "--autogenerate", "-m", "auto")
    [path] = (project.folder / "alembic/versions").glob("*_auto.py")
    assert "op.drop_table('migrations')" in path.read_text()
