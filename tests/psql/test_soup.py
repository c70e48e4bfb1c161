"""Whatever pieces are thrown together, the reader cuts what psql sends."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from alembic_pgpipe.errors import SourceError
from tests.psql.client import Psql
from tests.psql.comparison import cut, differences
from tests.psql.soup import PIECES, is_comparable

soups = st.lists(st.sampled_from(PIECES), min_size=2, max_size=30).map("".join)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("soup") / "soup.sql"


@given(soup=soups)
@settings(
    max_examples=200,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.filter_too_much],
)
def test_cuts_what_psql_sends(psql: Psql, scratch: Path, soup: str) -> None:
    assume(is_comparable(soup))
    scratch.write_bytes(soup.encode())
    try:
        ours = cut(soup.encode(), str(scratch))
    except SourceError:
        assume(False)
        return
    assert not differences(psql.sent(scratch), ours)
