"""What plpgsql_check finds in the bodies of PL/pgSQL routines, by file and line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy.exc import DBAPIError

from alembic_pgpipe.model import Problem
from alembic_pgpipe.rehearsal.database import Rehearsal
from alembic_pgpipe.run.routine_lines import Frame, routine_body
from alembic_pgpipe.sending.server_errors import server_error
from alembic_pgpipe.source.reader import read_statements

AVAILABLE = "SELECT 1 FROM pg_catalog.pg_available_extensions WHERE name = 'plpgsql_check'"
CREATE = "CREATE EXTENSION IF NOT EXISTS plpgsql_check"
SCHEMA = (
    "SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e "
    "JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'plpgsql_check'"
)
# xmin tells a routine that was written anew from one that was there.
ROUTINES = """
    SELECT p.oid, p.xmin::text::bigint, n.nspname, p.proname,
        p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype,
        ARRAY(SELECT pg_catalog.format_type(t, NULL)
            FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY AS a (t, place)
            ORDER BY place)
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang AND l.lanname = 'plpgsql'
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    ORDER BY p.oid
"""
TRIGGERS = """
    SELECT DISTINCT tgrelid, tgoldtable, tgnewtable FROM pg_catalog.pg_trigger
    WHERE tgfoid = %s ORDER BY 1, 2, 3
"""
FINDINGS = """
    SELECT lineno, level, message, detail, hint
    FROM {}.plpgsql_check_function_tb(
        funcoid := %s::oid, relid := %s::oid, oldtable := %s, newtable := %s,
        fatal_errors := false)
    WHERE level IN ('error', 'warning')
"""
NOT_INSTALLED = (
    "plpgsql_check is not installed on the scratch server; bodies were not looked into"
)


@dataclass(frozen=True, slots=True)
class Routine:
    """A PL/pgSQL routine as the catalogue has it; ``written`` changes when it is replaced."""

    oid: int
    written: int
    schema: str
    name: str
    is_trigger: bool
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BodyReport:
    """What is wrong in the bodies, and why some were not looked into."""

    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Bodies:
    """The PL/pgSQL routines that files have created in a rehearsal."""

    rehearsed: Rehearsal
    _known: frozenset[Routine] = field(init=False)
    _files: dict[int, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known = self._routines()

    def note(self, path: str, text: str) -> None:
        """Note which routines a file has just written."""
        now = self._routines()
        for routine in now - self._known:
            self._files[routine.oid] = (path, text)
        self._known = now

    def report(self) -> BodyReport:
        """Return what plpgsql_check finds in the noted routines, where it can be had."""
        routines = sorted((r for r in self._known if r.oid in self._files), key=lambda r: r.oid)
        if not routines:
            return BodyReport()
        refusal = self._refusal()
        if refusal:
            return BodyReport(notes=(refusal,))
        schema = str(self.rehearsed.connection.exec_driver_sql(SCHEMA).scalar_one())
        problems: list[Problem] = []
        notes: list[str] = []
        for routine in routines:
            try:
                with self.rehearsed.savepoint():
                    problems += self._problems(routine, FINDINGS.format(schema))
            except DBAPIError as error:
                said = server_error(error).message
                notes.append(f"plpgsql_check gave up on {routine.name}: {said}")
        # A trigger function is looked at once for each of its tables.
        return BodyReport(tuple(dict.fromkeys(problems)), tuple(notes))

    def _routines(self) -> frozenset[Routine]:
        rows = self.rehearsed.connection.exec_driver_sql(ROUTINES)
        return frozenset(
            Routine(oid, written, schema, name, is_trigger, tuple(types))
            for oid, written, schema, name, is_trigger, types in rows
        )

    def _refusal(self) -> str | None:
        """Create the extension for as long as the rehearsal lasts; return why it cannot be."""
        connection = self.rehearsed.connection
        if connection.exec_driver_sql(AVAILABLE).first() is None:
            return NOT_INSTALLED
        try:
            with self.rehearsed.savepoint():
                self.rehearsed.command(CREATE)
        except DBAPIError as error:
            said = server_error(error).message
            return f"plpgsql_check cannot be created ({said}); bodies were not looked into"
        return None

    def _problems(self, routine: Routine, sql: str) -> Iterator[Problem]:
        connection = self.rehearsed.connection
        uses = [(0, None, None)]
        if routine.is_trigger:
            found = connection.exec_driver_sql(TRIGGERS, (routine.oid,))
            uses = [(relation, old, new) for relation, old, new in found]
        for use in uses:
            for row in connection.exec_driver_sql(sql, (routine.oid, *use)).all():
                yield self._problem(routine, *row)

    def _problem(
        self,
        routine: Routine,
        line: int | None,
        level: str,
        message: str,
        detail: str | None,
        hint: str | None,
    ) -> Problem:
        path, text = self._files[routine.oid]
        said = ". ".join(part.rstrip(".") for part in (message, detail, hint) if part)
        at = _line(routine, path, text, line or 1)
        column = _column(text, at) if at else 0
        return Problem(path, f"{level} in {routine.name}: {said}", at, column)


def _line(routine: Routine, path: str, text: str, line: int) -> int:
    """Return the line of the file that a line of a body is; 0 where it is unclear."""
    frame = Frame(routine.name, (routine.schema, routine.name), routine.types, line=line)
    body = routine_body(frame, read_statements(text, path))
    return (body.line_of(frame) or 0) if body is not None else 0


def _column(text: str, line: int) -> int:
    shown = text.splitlines()[line - 1 : line]
    return len(shown[0]) - len(shown[0].lstrip()) + 1 if shown else 1
