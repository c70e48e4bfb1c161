"""A message that the server refuses is repeated one by one, and its error is not forgotten."""

from __future__ import annotations

import pytest

from tests.project import Project

TAKEN = (
    "CREATE TABLE t (id serial PRIMARY KEY, x text);\nINSERT INTO t VALUES (1, 'by hand');\n"
)
PUT = "INSERT INTO t (x) VALUES ('p');\nINSERT INTO t (x) VALUES ('q');\n"


@pytest.mark.parametrize(
    "ahead", ["", "CREATE TABLE u ();\nANALYZE u;\n"], ids=["small", "large"]
)
def test_a_key_that_was_taken_the_first_time_stops_the_step(
    project: Project, ahead: str
) -> None:
    project.wrapped(a=TAKEN, b=f"{ahead}{PUT}")
    result = project.upgrade()
    assert result.code == 1
    assert 'duplicate key value violates unique constraint "t_pkey"' in result.text
    assert "which are sent together" in result.text
    assert project.query("SELECT id, x FROM t") == [(1, "by hand")]
    # The sequence has gone on: what may be repeated is for a person to know.
    project.ok("pgpipe", "retry", "b")
    project.ok("upgrade", "head")
    assert len(project.query("SELECT x FROM t")) == 3


def test_what_is_refused_behind_the_statements_is_no_fault_of_theirs(project: Project) -> None:
    project.wrapped(
        a="CREATE TABLE t (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);\n",
        b="INSERT INTO t VALUES (1);\nINSERT INTO t VALUES (1);\n",
    )
    result = project.upgrade()
    assert result.code == 1
    assert "duplicate key" in result.text
    assert "sent together" not in result.text
    assert project.query("TABLE t") == []
