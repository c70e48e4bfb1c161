"""The projects that are disturbed: a has been applied, b is disturbed, c comes after it.

What each source does is counted in the table ``effects``, so that nothing done twice, or
not at all, stays unseen.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.crash.points import Kind
from tests.crash.server import CrashServer
from tests.project import Project

# Who comes to the gate says so, and waits as long as the test holds lock 42; an index that
# is built slowly says so, and waits for lock 43.
GATE_KEY, INDEX_KEY = 42, 43
GROUND = f"""
CREATE TABLE public.effects (name text);
CREATE TABLE public.gate (a int);
CREATE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE NOTICE 'at the gate';
    PERFORM pg_catalog.pg_advisory_xact_lock_shared({GATE_KEY});
    RETURN NULL;
END $$;
CREATE TRIGGER waiting AFTER INSERT ON public.gate FOR EACH ROW EXECUTE FUNCTION public.wait();
CREATE FUNCTION public.slowly(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
    RAISE NOTICE 'slowly';
    PERFORM pg_catalog.pg_advisory_xact_lock_shared({INDEX_KEY});
    RETURN $1;
END $$;
"""
EFFECT = "INSERT INTO public.effects VALUES ('{0}');\n"
AT_THE_GATE = "INSERT INTO public.gate VALUES (1);\n"
IN_ONE = (
    EFFECT.format("b1")
    + AT_THE_GATE
    + EFFECT.format("b2")
    + "SELECT 'between';\n"
    + EFFECT.format("b3")
    + "CREATE TABLE public.made (a int);\n"
)
SMALL = (
    EFFECT.format("b1")
    + AT_THE_GATE
    + EFFECT.format("b2")
    + "CREATE TABLE public.made (a int);\n"
)
ALONE = (
    "-- pgpipe: transaction = off\n"
    + EFFECT.format("b1")
    + AT_THE_GATE
    + "CREATE INDEX CONCURRENTLY slow ON public.effects (public.slowly(name));\n"
    + EFFECT.format("b2")
)
PYTHON = """op.execute("INSERT INTO public.effects VALUES ('b1')")
    op.execute("INSERT INTO public.gate VALUES (1)")
    op.execute("INSERT INTO public.effects VALUES ('b2')")
    op.execute("CREATE TABLE public.made (a int)")"""
THERE = "-- pgpipe: database = {0}\n" + IN_ONE
SOURCES = {
    Kind.FIRST: IN_ONE,
    Kind.WAITING: IN_ONE,
    Kind.TRANSACTION: IN_ONE,
    Kind.SMALL: SMALL,
    Kind.ALONE: ALONE,
    Kind.PYTHON: IN_ONE,
    Kind.ELSEWHERE: THERE,
    Kind.LATE: IN_ONE,
}
SETTING_UP = {"GITHUB_RUN_NUMBER": "40", "GITHUB_RUN_ID": "9040"}


@dataclass(frozen=True, slots=True)
class Model:
    """A project of one kind, and the databases that each case gets a copy of."""

    kind: Kind
    folder: Path
    here: str
    there: str | None = None

    def copy(self, folder: Path, url: URL, there: str | None) -> Project:
        """Write the project into a folder, on a database; return it."""
        shutil.copytree(self.folder, folder)
        project = Project(folder, url)
        if there is not None:
            project.source("b", THERE.format(there))
        return project


@dataclass(slots=True)
class Models:
    """The models, each made when it is first needed."""

    server: CrashServer
    folder: Path
    _made: dict[Kind, Model] = field(default_factory=dict)

    def of(self, kind: Kind) -> Model:
        """Return the model of a kind."""
        if kind not in self._made:
            self._made[kind] = self._make(kind)
        return self._made[kind]

    def _make(self, kind: Kind) -> Model:
        here = self.server.clone("template1")
        there = self.server.clone("template1") if kind is Kind.ELSEWHERE else None
        for database in filter(None, (here, there)):
            self.server.query(GROUND, database=database)
        folder = self.folder / kind.name
        project = Project(folder, self.server.url(here))
        project.wrapped(a=EFFECT.format("a"))
        if kind is not Kind.FIRST:
            project.ok("upgrade", "head", env=SETTING_UP)
        project.wrapped(b=SOURCES[kind].format(there), c=EFFECT.format("c"))
        if kind is Kind.PYTHON:
            [path] = folder.glob(f"alembic/versions/{revision_id('b')}_*.py")
            path.write_text(path.read_text().replace("op.run_source(source)", PYTHON))
        if kind is Kind.LATE:
            _skip_and_retry(project)
        return Model(kind, folder, here, there)


def _skip_and_retry(project: Project) -> None:
    project.ok("pgpipe", "skip", "b", "--reason", "later")
    project.ok("upgrade", "head", env=SETTING_UP)
    project.ok("pgpipe", "retry", "b")
