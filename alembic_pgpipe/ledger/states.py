"""Which statuses may follow where people ask for it, by retry and skip: README, Statuses.

What a run makes of a status is decided in ``run/plan``.
"""

from __future__ import annotations

from alembic_pgpipe.model import Revision, Status

# Neither applied nor simply waiting for its turn.
UNSETTLED = frozenset({Status.ERROR, Status.RUNNING, Status.RETRY})
MAY_RETRY = frozenset({Status.ERROR, Status.SKIPPED})
# A RUNNING revision's run has to be dead for it, which only the lock can tell.
MAY_SKIP = frozenset(
    {Status.ERROR, Status.WAITING, Status.RETRY, Status.RUNNING, Status.ROLLED_BACK}
)

WHY_NOT_RETRY = {
    Status.WAITING: "it has not failed; it is applied by the next 'alembic upgrade head'",
    Status.RUNNING: "a run is at it now, or died at it; 'alembic upgrade head' goes on",
    Status.SUCCESS: "it is applied; 'alembic downgrade' would undo it first",
    Status.RETRY: "it is marked already; 'alembic upgrade head' runs it",
    Status.ROLLED_BACK: "it was rolled back; 'alembic upgrade head' applies it again",
}
WHY_NOT_SKIP = {
    Status.SUCCESS: "it is applied; 'alembic downgrade' would undo it",
    Status.SKIPPED: "it is skipped already",
}


def unsettled(status: Status, *, passed: bool) -> bool:
    """Return whether something is left to be done or decided about a revision begun with.

    ``passed`` is whether ``alembic_version`` has passed it.
    """
    return status in UNSETTLED or (status is Status.SKIPPED and not passed)


def refuse_retry(revision: Revision, status: Status) -> str | None:
    """Return why a revision cannot be retried, or None where it can."""
    if status in MAY_RETRY:
        return None
    return f"{revision.id} ({revision.name}) is {status.value}: {WHY_NOT_RETRY[status]}"


def refuse_skip(revision: Revision, status: Status) -> str | None:
    """Return why a revision cannot be skipped, or None where it can."""
    if status in MAY_SKIP:
        return None
    return f"{revision.id} ({revision.name}) is {status.value}: {WHY_NOT_SKIP[status]}"
