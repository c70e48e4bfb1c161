"""The reader cuts texts too long to keep as files exactly as psql does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.psql.client import Psql
from tests.psql.comparison import cut, differences

# psql reads lines in pieces of 1,024 bytes, and COPY data in pieces of 8,192.
LONG = {
    "string": "SELECT '" + "x;" * 50_000 + "'; SELECT 1;\n",
    "name": "SELECT 1 AS " + "n" * 70_000 + "; SELECT 1;\n",
    "comments": "SELECT 1 /* " + "; ' " * 20_000 + "*/; -- " + "; '" * 20_000 + "\nSELECT 2;\n",
    "operator": "SELECT 1 " + "@" * 5_000 + " 2; SELECT 1;\n",
    "line of statements": "SELECT 1;" * 3_000 + "\n",
    "statement of many lines": "SELECT 1\n" + ",\n\n2\n" * 3_000 + ";\nSELECT 1;\n",
    "row of strings": "VALUES ("
    + ",".join(f"'x;{n}'" for n in range(2_000))
    + "); SELECT 1;\n",
    "row of parentheses": "SELECT " + "(" * 3_000 + "1;" + ")" * 3_000 + ";\nSELECT 2;\n",
    "quote mark on a bound": "SELECT '" + "x" * 1_014 + "''" + "y" * 1_021 + "\\'; SELECT 1;\n",
    "dollar tag": f"SELECT ${'t' * 5_000}$ ; $$ ; ${'t' * 5_000}$; SELECT 1;\n",
    "rows of COPY": "COPY t FROM STDIN;\n" + "1\t;\n" * 30_000 + "\\.\nSELECT 1;\n",
    "row of COPY": "COPY t FROM STDIN;\n" + "x" * 30_000 + "\\.\n\\.\nSELECT 1;\n",
    "end of data on a bound": "COPY t FROM STDIN;\n" + "x" * 8_190 + "\n\\.\nSELECT 1;\n",
    "no end of data on a bound": "COPY t FROM STDIN;\n" + "x" * 8_191 + "\\.\n\\.\nSELECT 1;\n",
}


@pytest.mark.parametrize("subject", LONG)
def test_cuts_what_psql_sends(psql: Psql, tmp_path: Path, subject: str) -> None:
    path = tmp_path / "long.sql"
    path.write_bytes(LONG[subject].encode())
    found = differences(psql.sent(path), cut(path.read_bytes(), path.name))
    # The texts themselves would fill the screen.
    assert [difference.number for difference in found] == []
