"""Which statements are told to run alone; tests/forms.py holds what servers say to them."""

from __future__ import annotations

import pytest

from alembic_pgpipe.source.forbidden import forbidden_in_transaction
from alembic_pgpipe.source.reader import read_statements
from alembic_pgpipe.source.transaction import Mode
from tests.decision import decided
from tests.forms import ACTIVE_TRANSACTION, FORMS, Form

ALONE = [form for form in FORMS if form.code == ACTIVE_TRANSACTION and not form.unknowable]
TOGETHER = [form for form in FORMS if form not in ALONE]
NAMES = [
    ("vacuum t", "VACUUM"),
    ("CLUSTER", "CLUSTER without a table"),
    ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX CONCURRENTLY"),
    ("DROP INDEX CONCURRENTLY i", "DROP INDEX CONCURRENTLY"),
    ("REINDEX (CONCURRENTLY) TABLE t", "REINDEX CONCURRENTLY"),
    ("REINDEX SCHEMA s", "REINDEX SCHEMA"),
    ("drop database d", "DROP DATABASE"),
    ("ALTER DATABASE d SET TABLESPACE x", "ALTER DATABASE SET TABLESPACE"),
    ("ALTER SUBSCRIPTION s REFRESH PUBLICATION", "ALTER SUBSCRIPTION with a refresh"),
    ("ALTER SUBSCRIPTION s SET (failover)", "ALTER SUBSCRIPTION SET (failover)"),
]


def mode(text: str) -> Mode:
    return decided(text).mode


@pytest.mark.parametrize("form", ALONE, ids=str)
def test_what_every_server_refuses_in_a_block_runs_alone(form: Form) -> None:
    assert mode(form.text) is Mode.AUTOCOMMIT


@pytest.mark.parametrize("form", TOGETHER, ids=str)
def test_everything_else_runs_in_the_transaction(form: Form) -> None:
    assert mode(form.text) is Mode.TRANSACTION


@pytest.mark.parametrize(("text", "name"), NAMES)
def test_the_name_is_what_people_call_it(text: str, name: str) -> None:
    [statement] = read_statements(text, "f.sql")
    assert forbidden_in_transaction(statement) == name
