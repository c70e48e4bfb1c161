"""The journal of a run: a connection of its own, with the ledger there as it has to be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from alembic_pgpipe.connect.database import Database
from alembic_pgpipe.connect.lasting import Lasting
from alembic_pgpipe.ledger.elsewhere import Place, refuse_rows_elsewhere
from alembic_pgpipe.ledger.encoding import encoding_of
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.ledger.tables import MIGRATIONS, ledger_tables
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.run.build_log import BuildLog

# A source that locks the ledger must not stop the run for ever.
JOURNAL_LOCK_TIMEOUT = "SET lock_timeout = '10s'"


@contextmanager
def open_journal(
    database: Database, revisions: ProjectRevisions, log: BuildLog, versions: Place | None
) -> Iterator[Recorder]:
    """Open the journal, and create what is missing of the ledger.

    ``versions`` is Alembic's table, for a run that takes for pending what is not in it.
    Raises LedgerError where the history has been kept elsewhere until now.
    """
    schema = revisions.settings.schema

    @contextmanager
    def opened() -> Iterator[Connection]:
        with database.connect(autocommit=True) as connection:
            connection.exec_driver_sql(JOURNAL_LOCK_TIMEOUT)
            if log.is_recorded:
                Recorder.on(connection, schema).builds.stay_alive(log.number)
            yield connection

    with Lasting(opened) as lasting:
        tables = ledger_tables(schema, encoding_of(lasting()))
        journal = Recorder(lasting, tables, again=database.again)
        missing = journal.relations.missing()
        if MIGRATIONS in missing:
            _refuse_history_elsewhere(lasting(), revisions, versions)
        if missing:
            with database.connect() as creator, creator.begin():
                Recorder.on(creator, schema).relations.create()
        yield journal


def _refuse_history_elsewhere(
    connection: Connection, revisions: ProjectRevisions, versions: Place | None
) -> None:
    # Only a first run asks.
    from alembic_pgpipe.ledger.other_tools import refuse_applied_by_another_tool

    history = revisions.all()
    names = {revision.name for revision in history}
    refuse_rows_elsewhere(connection, revisions.settings.schema, names)
    if versions is not None:
        refuse_applied_by_another_tool(connection, versions, history)
