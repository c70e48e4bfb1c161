"""The reader cuts PostgreSQL's own SQL files exactly as psql does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.psql.client import Psql
from tests.psql.regression_suite import Outcome, plain_text, prove, suite_files


def test_cuts_every_tenth_file_as_psql_does(psql: Psql, tmp_path: Path) -> None:
    if not (files := suite_files()):
        pytest.skip(
            "PostgreSQL's SQL files are not here; `make psql-proof` fetches and compares all"
        )
    different: list[Outcome] = []
    for proof in prove(psql, files[::10], tmp_path):
        different.extend(proof.different)
        assert any(outcome.statements for outcome in proof.outcomes)
    assert not different


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("SELECT 1;\n", "SELECT 1;\n"),
        ("\\set x 1\nSELECT 1;\n", "\nSELECT 1;\n"),
        ("SELECT 1 \\gset x_\nSELECT 2\n\\g out\n", "SELECT 1 ;\nSELECT 2\n;\n"),
        ("SELECT 1\\; SELECT 2;\n", "SELECT 1; SELECT 2;\n"),
        ("SELECT '\\d';\n\\d\n", "SELECT '\\d';\n\n"),
        ("COPY t FROM stdin;\nSELECT 1;\n", "COPIED t FROM stdin;\nSELECT 1;\n"),
        ("SELECT :'USER', :x, 1::INT, :{?x};\n", "SELECT : 'USER', :x, 1::INT, : {?x};\n"),
    ],
)
def test_makes_a_file_plain(text: str, plain: str) -> None:
    assert plain_text(text.encode()) == plain.encode()
