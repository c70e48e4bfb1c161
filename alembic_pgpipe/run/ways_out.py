"""What to type where a failed revision holds the pipeline, or one was taken back."""

from __future__ import annotations

from collections.abc import Sequence

from alembic_pgpipe.model import Revision
from alembic_pgpipe.run.step import Sources
from alembic_pgpipe.settings import RetryFailed
from alembic_pgpipe.source.files import is_snapshot

# More are not written out: whoever took so many back knows what they are called.
MOST_IDS = 5


def ways_out(
    revision: Revision, file: str, retry_failed: RetryFailed, *, refused: bool = False
) -> str:
    """Return the ways to get a failed revision going again.

    ``retry_failed`` says whether an edit is one.  ``refused`` means that its file may not
    run as it is: to try it again is no way then.
    """
    retry = f"alembic pgpipe retry {revision.id}"
    skip = f'alembic pgpipe skip {revision.id} --reason "…"'
    edit = f"edit {file}"
    if is_snapshot(file):
        # The next wrap would take the mend back, which is not in its own text.
        edit += ", and the routine file that it is a copy of likewise,"
    if retry_failed is RetryFailed.DIRECTIVE:
        return f"{edit} if it is to blame, then: {retry}, or: {skip}"
    if refused:
        return f"{edit} and run again, or: {skip}"
    return f"{edit} and run again, or: {retry}, or: {skip}"


def ways_out_of(revision: Revision, sources: Sources, *, refused: bool = False) -> str:
    """Return the ways out for a revision whose file is not loaded, as its project has it."""
    refused = refused or sources.refusal(revision) is not None
    retry_failed = sources.settings.retry_failed
    return ways_out(revision, sources.file(revision), retry_failed, refused=refused)


def then(revision: Revision, retry_failed: RetryFailed) -> str:
    """Return what to type once a file is mended that was refused."""
    upgrade = "alembic upgrade head"
    if retry_failed is RetryFailed.DIRECTIVE:
        return f"alembic pgpipe retry {revision.id}, and: {upgrade}"
    return upgrade


def applied_again(taken_back: Sequence[Revision]) -> str:
    """Return what is to come of revisions that were taken back, and how to hinder it."""
    few = len(taken_back) <= MOST_IDS
    ids = " ".join(revision.id for revision in taken_back) if few else "REV"
    it, one = ("it", "it") if len(taken_back) == 1 else ("them", "one of them")
    return (
        f"note: the next upgrade applies {it} again; to keep {it if few else one} out: "
        f'alembic pgpipe skip {ids} --reason "…"'
    )
