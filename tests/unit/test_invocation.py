"""The commands of a message are for the project, section and options of the one at work."""

from __future__ import annotations

import json
from argparse import Namespace

import pytest
from alembic.config import Config

from alembic_pgpipe.invocation import PLAIN, invocation


def called(section: str = "alembic", **options: object) -> str:
    config = Config(ini_section=section, cmd_opts=Namespace(**options))
    return invocation(config).typed("then: alembic upgrade head")


@pytest.mark.parametrize(
    ("section", "options", "said"),
    [
        ("alembic", {}, "alembic upgrade head"),
        ("alembic", {"config": None, "x": None}, "alembic upgrade head"),
        ("prod", {}, "alembic -n prod upgrade head"),
        ("our prod", {}, "alembic -n 'our prod' upgrade head"),
        ("alembic", {"config": ["db/alembic.ini"]}, "alembic -c db/alembic.ini upgrade head"),
        (
            "alembic",
            {"config": ["a.ini", "pyproject.toml"]},
            "alembic -c a.ini -c pyproject.toml upgrade head",
        ),
        (
            "qa",
            {"x": ["pgpipe.schema=two words"]},
            "alembic -n qa -x 'pgpipe.schema=two words' upgrade head",
        ),
        ("alembic", {"x": ["tenant=hidden"]}, "alembic -x tenant=… upgrade head"),
        (
            "alembic",
            {"x": ["pgpipe.rehearsal_url=postgresql://u:hidden@h/d"]},
            "alembic -x pgpipe.rehearsal_url=… upgrade head",
        ),
        ("alembic", {"x": ["data"]}, "alembic -x data upgrade head"),
    ],
)
def test_the_options_stand_in_front_of_the_command(
    section: str, options: dict[str, object], said: str
) -> None:
    assert called(section, **options) == f"then: {said}"


def test_what_has_its_options_keeps_them() -> None:
    config = Config(ini_section="prod", cmd_opts=Namespace())
    typed = invocation(config).typed
    text = (
        "Name one: alembic -n dev … or: alembic pgpipe init (alembic/sql, alembic history.sql)"
    )
    once = typed(text)
    assert "alembic -n dev …" in once and "alembic -n prod pgpipe init" in once
    assert "(alembic/sql," in once
    assert typed(once) == once
    assert PLAIN.typed(text) == text


def test_json_stays_json_with_any_option() -> None:
    config = Config(cmd_opts=Namespace(x=['pgpipe.role=say "hi" \\ now']))
    told = invocation(config).typed_in_json(json.dumps({"next": "alembic upgrade head"}))
    assert json.loads(told) == {
        "next": "alembic -x 'pgpipe.role=say \"hi\" \\ now' upgrade head"
    }
