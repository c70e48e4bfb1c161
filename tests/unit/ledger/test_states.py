"""What people may ask: the state table's rows for retry and skip."""

from __future__ import annotations

import pytest

from alembic_pgpipe.ledger.states import refuse_retry, refuse_skip
from alembic_pgpipe.model import Revision, Status

REVISION = Revision("1234abcd", "users", "alembic/versions/users.py")
MAY_RETRY = {Status.ERROR, Status.SKIPPED}
MAY_SKIP = set(Status) - {Status.SUCCESS, Status.SKIPPED}


@pytest.mark.parametrize("status", Status)
def test_retry_is_for_what_failed_or_was_skipped(status: Status) -> None:
    assert (refuse_retry(REVISION, status) is None) is (status in MAY_RETRY)


@pytest.mark.parametrize("status", Status)
def test_skip_is_for_what_is_not_applied(status: Status) -> None:
    assert (refuse_skip(REVISION, status) is None) is (status in MAY_SKIP)


@pytest.mark.parametrize("status", Status)
def test_a_refusal_names_the_revision_its_status_and_the_reason(status: Status) -> None:
    for refused in (refuse_retry(REVISION, status), refuse_skip(REVISION, status)):
        if refused is not None:
            assert refused.startswith(f"1234abcd (users) is {status.value}: ")
            assert len(refused) > len(f"1234abcd (users) is {status.value}: ") + 10
