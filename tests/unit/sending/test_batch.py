"""Which statements share a message, and which source is one."""

from __future__ import annotations

import pytest

from alembic_pgpipe.sending.batch import batches, only
from alembic_pgpipe.source.reader import read_statements

INDEX = "CREATE INDEX i ON public.t (id);"
NEW = "CREATE TABLE public.t (id int);"


def sizes(text: str) -> list[int]:
    """Return how many statements each message has."""
    return [len(b.statements) for b in batches(read_statements(text, "a.sql"))]


@pytest.mark.parametrize(
    "index",
    [
        INDEX,
        "CREATE UNIQUE INDEX ON ONLY public.t USING btree (id);",
        "CREATE INDEX IF NOT EXISTS i ON public.t (id);",
        "/* one */ CREATE INDEX on_it ON public.t (id);",
    ],
)
def test_an_index_of_a_table_that_the_message_creates_is_there_at_once(index: str) -> None:
    assert sizes(f"{NEW}\n{index}\nCREATE VIEW v AS SELECT 1;\n") == [3]


@pytest.mark.parametrize(
    "text",
    [
        INDEX,
        f"CREATE TABLE IF NOT EXISTS public.t (id int);\n{INDEX}",
        f"CREATE TABLE public.u (id int);\n{INDEX}",
        f"{NEW}\nINSERT INTO public.t SELECT 1;\n{INDEX}",
        "CREATE TABLE t (id int);\nCREATE INDEX CONCURRENTLY ON t (id);",
    ],
)
def test_any_other_index_is_alone(text: str) -> None:
    assert sizes(text)[-1] == 1
    assert only(read_statements(text, "a.sql")) is None


def test_a_source_is_one_message_where_nothing_in_it_needs_its_own() -> None:
    batch = only(read_statements(f"{NEW}\n{INDEX}\n", "a.sql"))
    assert batch is not None
    assert len(batch.statements) == 2
    assert only(read_statements(f"{NEW}\nSELECT 1;\n", "a.sql")) is None
    assert only(read_statements("SELECT 1;\n", "a.sql")) is None
    assert only(read_statements("CREATE TABLE t (id int)", "a.sql")) is None
    assert only(iter(())) is None
