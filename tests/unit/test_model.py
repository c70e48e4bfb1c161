"""How the words read to people."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from alembic_pgpipe.model import Holder

SINCE = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0 s"),
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (90000, "25 h"),
    ],
)
def test_a_holder_says_for_how_long_it_holds(seconds: int, shown: str) -> None:
    holder = Holder(12, "7", SINCE, timedelta(seconds=seconds))
    since = "2026-03-01 12:00:00 UTC"
    assert str(holder) == f"build 7 (server process 12, since {since}, for {shown})"


def test_a_holder_that_nobody_knows_more_of_is_named() -> None:
    assert str(Holder(12, "7")) == "build 7 (server process 12)"
