"""Real histories, shipped as they are, end as psql ends with them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from alembic_pgpipe.scratch.server import ScratchServer
from tests.histories import Dump, dump_for, history, rows_of
from tests.project import Project

# Two of the histories have tables of their own that go by the ledger's names.
LEDGER = "pgpipe"
# Their rows hold the time at which they were written.
LANGFUSE_TIMED = ("public.models", "public.prices", "public.pricing_tiers")
AT_OWN_RISK = "-- pgpipe: transaction = off\n"
# The files that are neither one transaction nor without any: where, and the reason.
LANGFUSE_REFUSED = {
    "20230620181114_restructure/migration.sql": (
        "16:1",
        "this stands outside BEGIN … COMMIT",
    ),
    "20260521000000_monitor_severity_status_reorder_drop_message/migration.sql": (
        "15:1",
        "a second BEGIN",
    ),
}


@pytest.fixture
def dump(scratch: ScratchServer) -> Dump:
    return dump_for(scratch)


@pytest.fixture
def project(project: Project) -> Project:
    project.configure(schema=LEDGER)
    return project


def schema(project: Project, dump: Dump) -> list[str]:
    assert not isinstance(project.url, str)
    return dump.schema(project.url, without=LEDGER)


def statuses(project: Project) -> dict[str, int]:
    return dict(Counter(project.ledger(LEDGER).values()))


def test_authelia_goes_up_down_and_up_again(project: Project, dump: Dump) -> None:
    truth = history("authelia")
    truth.copy_into(project)
    project.ok("pgpipe", "wrap")

    project.ok("upgrade", "head")
    assert schema(project, dump) == truth.schema()
    assert statuses(project) == {"SUCCESS": 26}
    assert rows_of(project, without=LEDGER) == truth.rows()

    project.ok("downgrade", "base")
    assert schema(project, dump) == truth.schema("truth.downs.schema.sql")
    assert statuses(project) == {"ROLLED_BACK": 26}

    project.ok("upgrade", "head")
    assert schema(project, dump) == truth.schema()
    assert statuses(project) == {"SUCCESS": 26}


def test_langfuse_is_refused_where_a_rollback_could_not_help(project: Project) -> None:
    history("langfuse").copy_into(project)
    project.ok("pgpipe", "wrap")
    result = project.upgrade()
    assert result.code == 1
    refused = [line for line in result.text.splitlines() if line.startswith("refused: ")]
    assert len(refused) == len(LANGFUSE_REFUSED)
    for file, (place, reason) in LANGFUSE_REFUSED.items():
        assert f"alembic/sql/{file}:{place}  {reason}" in result.text
    assert rows_of(project, without=LEDGER) == {}


def test_langfuse_goes_up_in_one_go(project: Project, dump: Dump) -> None:
    truth = history("langfuse")
    truth.copy_into(project)
    for file in LANGFUSE_REFUSED:
        accept_the_risk(project.folder / "alembic/sql" / file)
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    assert schema(project, dump) == truth.schema()
    assert statuses(project) == {"SUCCESS": 434}
    expected, rows = truth.rows(), rows_of(project, without=LEDGER)
    for table in LANGFUSE_TIMED:
        assert rows.pop(table)[0] == expected.pop(table)[0]
    assert rows == expected


def test_pagila_goes_up_with_its_data(project: Project, dump: Dump) -> None:
    truth = history("pagila")
    project.query((truth.folder / "stub.sql").read_text("utf-8"))
    # Each is wrapped when it comes: their names would put the data first.
    truth.copy_into(project, "pagila-schema.sql")
    project.ok("pgpipe", "wrap")
    truth.copy_into(project, "pagila-data.sql")
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    assert schema(project, dump) == truth.schema()
    assert rows_of(project, without=LEDGER) == truth.rows()


def accept_the_risk(file: Path) -> None:
    file.write_text(AT_OWN_RISK + file.read_text("utf-8"), encoding="utf-8")
