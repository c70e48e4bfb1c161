"""COPY that a source cannot use, with the place and what to write instead."""

from __future__ import annotations

import pytest

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source.directives import Directives, Transaction
from tests.decision import decided

TO_CLIENT = (
    "COPY t TO STDOUT;",
    "copy t (a, b) to stdout with (format csv);",
    "COPY (SELECT a FROM t) TO STDOUT;",
    "COPY (SELECT ';' AS \"TO 'x'\") /* TO 'x' */ TO -- TO 'x'\n STDOUT",
    "COPY t TO STDIN;",
    "COPY BINARY t TO STDOUT;",
    "/* hint */ COPY t TO STDOUT;",
)
BINARY = (
    "COPY BINARY t FROM STDIN;\nx\n\\.\n",
    "COPY t FROM STDIN BINARY;\nx\n\\.\n",
    "COPY t FROM STDIN WITH BINARY;\nx\n\\.\n",
    "copy t from stdin with (freeze, format /* c */ binary);\nx\n\\.\n",
    "COPY t FROM STDIN (FORMAT 'Binary');\nx\n\\.\n",
    'COPY t FROM STDIN (FORMAT "binary");\nx\n\\.\n',
)
TAKEN = (
    "COPY t TO '/tmp/t';",
    "COPY (SELECT a FROM t) TO '/tmp/TO STDOUT';",
    "COPY t TO PROGRAM 'cat > STDOUT';",
    "COPY t FROM '/tmp/t' (FORMAT binary);",
    "COPY t FROM STDIN;\nCOPY t TO STDOUT;\nBINARY\n\\.\n",
    "COPY t (\"binary\") FROM STDIN WITH NULL 'binary' DELIMITER 'x';\nx\n\\.\n",
    "COPY t FROM STDIN (FORMAT csv, NULL 'binary') WHERE a = 'FORMAT binary';\nx\n\\.\n",
    'COPY "to stdout" FROM STDIN (FORMAT text);\nx\n\\.\n',
    "COPY to_ FROM STDIN (FORCE_NOT_NULL (stdout));\nx\n\\.\n",
)
ANY_MODE = pytest.mark.parametrize("transaction", [Transaction.AUTO, Transaction.OFF])


@ANY_MODE
@pytest.mark.parametrize("text", TO_CLIENT)
def test_rows_for_the_client_are_refused(text: str, transaction: Transaction) -> None:
    error = refusal(f"SELECT 1;\nINSERT INTO t VALUES (1);\n  {text}", transaction)
    assert (error.line, error.column) == (3, 3 + text.index("C" if "C" in text else "c"))
    assert "COPY … TO STDOUT sends rows to the client" in error.problem
    assert "remove it, or write them to a file on the server" in error.problem


@ANY_MODE
@pytest.mark.parametrize("text", BINARY)
def test_binary_rows_are_refused(text: str, transaction: Transaction) -> None:
    error = refusal(f"SELECT 1;\n{text}", transaction)
    assert (error.line, error.column) == (2, 1)
    assert "a text file cannot hold binary rows" in error.problem
    assert "write them as text or CSV" in error.problem


@ANY_MODE
@pytest.mark.parametrize("text", TAKEN)
def test_every_other_copy_is_taken(text: str, transaction: Transaction) -> None:
    assert decided(text, Directives(transaction=transaction)).total == 1


def refusal(text: str, transaction: Transaction) -> SourceError:
    with pytest.raises(SourceError) as caught:
        decided(text, Directives(transaction=transaction), "sql/f.sql")
    return caught.value
