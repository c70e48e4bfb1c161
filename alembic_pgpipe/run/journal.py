"""The journal of a run: a connection of its own, with the ledger there as it has to be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from alembic_pgpipe.connect.database import Database
from alembic_pgpipe.connect.lasting import Lasting
from alembic_pgpipe.ledger.elsewhere import refuse_rows_elsewhere
from alembic_pgpipe.ledger.encoding import encoding_of
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.ledger.tables import MIGRATIONS, ledger_tables
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.run.build_log import BuildLog

# A source that locks the ledger must not stop the run for ever.
JOURNAL_LOCK_TIMEOUT = "SET lock_timeout = '10s'"


@contextmanager
def open_journal(
    database: Database, revisions: ProjectRevisions, log: BuildLog
) -> Iterator[Recorder]:
    """Open the journal, and create what is missing of the ledger."""
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
            names = {revision.name for revision in revisions.all()}
            refuse_rows_elsewhere(lasting(), schema, names)
        if missing:
            with database.connect() as creator, creator.begin():
                Recorder.on(creator, schema).relations.create()
        yield journal
