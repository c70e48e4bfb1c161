"""What other tools keep to undo a source is known by its mark or its name."""

from __future__ import annotations

import pytest

from alembic_pgpipe.source.other_tools import begins_undo, undone_by


@pytest.mark.parametrize(
    "comment",
    [
        "-- migrate:down",
        "--migrate:down transaction:false",
        "-- +goose Down",
        "-- +migrate Down notransaction",
        "-- Down Migration",
        "--- down migration",
        "-- Down Migration: drop what was made",
        "--//@UNDO",
        "-- @UNDO",
        "---- create above / drop below ----",
        "-- ==== DOWN ====",
    ],
)
def test_the_line_at_which_an_undo_begins_is_known(comment: str) -> None:
    assert begins_undo(comment)


@pytest.mark.parametrize(
    "comment",
    [
        "-- migrate:up",
        "-- +goose Up",
        "-- +goose StatementBegin",
        "-- +goose Downwards",
        "-- migrate:downtime",
        "-- scale down migration speed",
        "-- Down Migration is in x.down.sql",
        "-- undo",
        "--rollback DROP TABLE t;",
        "-- down",
    ],
)
def test_other_comments_are_none(comment: str) -> None:
    assert not begins_undo(comment)


@pytest.mark.parametrize(
    ("name", "undone"),
    [
        ("U1__first", "V1__first"),
        ("U1.1__second", "V1.1__another_name"),
        ("0003_totals.rollback", "0003_totals"),
        ("0003_totals_undo", "0003_totals"),
        ("0003_totals-down", "0003_totals"),
        ("0003_totals.Revert", "0003_totals"),
        ("4-users-down", "4-users-up"),
        ("5.undo.orders", "5.do.orders"),
        ("6.undo", "6.do"),
    ],
)
def test_an_undo_is_known_by_the_source_that_it_undoes(name: str, undone: str) -> None:
    names = ["V1__first", "V1.1__another_name", "0003_totals", "4-users-up", "5.do.orders"]
    assert undone_by(name, [*names, "6.do"]) == undone


@pytest.mark.parametrize(
    "name",
    ["U2__first", "U_turn__first", "totals.rollback", "0003_totals_undone", "undo", "rollback"],
)
def test_what_undoes_nothing_that_is_there_is_a_source(name: str) -> None:
    assert undone_by(name, ["V1__first", "0003_totals", "0004_more"]) is None
