"""``alembic pgpipe log``: what a build did, as it was written down."""

from __future__ import annotations

from alembic.config import Config

from alembic_pgpipe.environment import Visit
from alembic_pgpipe.errors import LedgerError
from alembic_pgpipe.ledger.tables import BUILDS
from alembic_pgpipe.model import BuildRecord
from alembic_pgpipe.project import open_ledger, visit_project


def log(config: Config, number: str | None = None) -> BuildRecord:
    """Return the log of a build by its number, or of the latest build.

    Raises LedgerError where there is no such build.
    """

    def look(visit: Visit) -> BuildRecord:
        with open_ledger(visit) as ledger:
            found = None if BUILDS in ledger.missing else ledger.recorder.builds.build(number)
            if found is None:
                wanted = f"build {number}" if number else "any build"
                raise LedgerError(
                    f"{visit.settings.schema}.migration_logs has no log of {wanted} in "
                    f"{ledger.database.label}. A run writes one: alembic upgrade head"
                )
            return found

    return visit_project(config, look)
