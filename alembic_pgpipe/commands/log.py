"""``alembic pgpipe log``: what a build did, as it was written down."""

from __future__ import annotations

import shlex

from alembic.config import Config

from alembic_pgpipe.connect.lock import shown
from alembic_pgpipe.environment.visit import Visit
from alembic_pgpipe.errors import LedgerError
from alembic_pgpipe.ledger.build_rows import BuildRows
from alembic_pgpipe.ledger.tables import BUILDS
from alembic_pgpipe.model import BuildRecord
from alembic_pgpipe.project import open_ledger, visit_project


def log(config: Config, number: str | None = None) -> BuildRecord:
    """Return the log of a build by its number, or of the latest build.

    The number may be as others see it who wait for that build.  Raises LedgerError where
    there is no such build, or where it may be one of several.
    """

    def look(visit: Visit) -> BuildRecord:
        with open_ledger(visit) as ledger:
            builds = None if BUILDS in ledger.missing else ledger.recorder.builds
            found = _find(builds, number) if builds is not None else None
            if found is None:
                latest = builds.build() if builds is not None else None
                table = f"{visit.settings.schema}.migration_logs"
                raise LedgerError(
                    _absent(number, latest, f"{table} in {ledger.database.label}")
                )
            return found

    return visit_project(config, look)


def _find(builds: BuildRows, number: str | None) -> BuildRecord | None:
    found = builds.build(number)
    if found is not None or not number:
        return found
    meant = [whole for whole in builds.numbers() if shown(whole) == number]
    if len(meant) > 1:
        raise LedgerError(
            f"{number} is how each of these builds is shown: {', '.join(meant)}. Look at one: "
            f"alembic pgpipe log {shlex.quote(meant[0])}"
        )
    return builds.build(meant[0]) if meant else None


def _absent(number: str | None, latest: BuildRecord | None, where: str) -> str:
    if latest is None:
        return f"No build has a log in {where}. A run writes one: alembic upgrade head"
    said = f"No build {number}" if number else "The build's number is empty, and no such build"
    return (
        f"{said} has a log in {where}. The latest one there is {latest.number}: "
        "alembic pgpipe log"
    )
