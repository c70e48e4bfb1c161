"""A rotation that swaps two users: what one has made, the other can alter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.integration.aws.conftest import FakeAws, Shop, administer
from tests.project import Project
from tests.refusal import refused

OWNERS = """
    SELECT DISTINCT pg_get_userbyid(owner) FROM (
        SELECT relowner FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT proowner FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    ) AS all_objects(owner)
"""


@dataclass(frozen=True)
class Pair:
    """Two users that take turns in one secret, and a role that both are members of."""

    shop: Shop
    other: str
    role: str
    second: URL


@pytest.fixture
def pair(shop: Shop) -> Iterator[Pair]:
    role, second = f"{shop.name}_owner", f"{shop.name}_2"
    administer(shop.admin_url, "CREATE DATABASE {} OWNER {}", second, shop.user)
    with shop.other_user() as other:
        made = Pair(shop, other, role, shop.server.url(second))
        shop.administer("CREATE ROLE {}", role)
        shop.administer("GRANT {} TO {}, {}", role, shop.user, other)
        for url in (shop.admin_url, made.second):
            administer(url, "GRANT ALL ON SCHEMA public TO {}, {}", role, other)
        yield made
        shop.administer("REASSIGN OWNED BY {} TO {}", role, shop.user)
        administer(shop.admin_url, "DROP DATABASE {} WITH (FORCE)", second)
        shop.administer("DROP OWNED BY {} CASCADE", role)
        shop.administer("DROP ROLE {}", role)


def rows(name: str, value: int) -> str:
    return f"COPY {name} FROM STDIN;\n{value}\n\\.\n"


def function(value: int) -> str:
    return (
        f"CREATE OR REPLACE FUNCTION label() RETURNS int LANGUAGE sql AS $$SELECT {value}$$;\n"
    )


@pytest.mark.usefixtures("shared_rehearsal")
def test_users_take_turns_under_one_owner(aws: FakeAws, pair: Pair, tmp_path: Path) -> None:
    shop = pair.shop
    secret = aws.secret(shop.fields())
    project = Project(tmp_path, f"secretsmanager://{secret}", {"role": pair.role})
    there = f"-- pgpipe: database = {pair.second.database}\n"
    project.write("alembic/routines/label.sql", function(1))
    project.wrapped(
        a="CREATE TABLE goods (id int);\n" + rows("goods", 1),
        b=there + "CREATE TABLE far (id int);\n" + rows("far", 1),
        c="CREATE INDEX CONCURRENTLY goods_id ON goods (id);\n",
    )
    result = project.upgrade()
    assert result.code == 0, result.text
    assert f"as {shop.user}" in result.text

    aws.rotate(secret, shop.fields(username=pair.other))
    project.write("alembic/routines/label.sql", function(2))
    project.wrapped(
        d="ALTER TABLE goods ADD COLUMN name text DEFAULT 'x';\n"
        "COPY goods (id) FROM STDIN;\n2\n\\.\n",
        e=there + "ALTER TABLE far ADD COLUMN name text;\n",
        f="DROP INDEX CONCURRENTLY goods_id;\n",
    )
    result = project.upgrade()
    assert result.code == 0, result.text
    assert f"as {pair.other}" in result.text

    project.url = shop.admin_url
    assert project.query("SELECT count(*)::int, label() FROM goods") == [(2, 2)]
    assert project.query(OWNERS) == [(pair.role,)]
    project.url = pair.second
    assert project.query(OWNERS) == [(pair.role,)]


def test_without_a_role_the_message_says_what_cures_it(
    aws: FakeAws, pair: Pair, tmp_path: Path
) -> None:
    shop = pair.shop
    secret = aws.secret(shop.fields())
    project = Project(tmp_path, f"secretsmanager://{secret}")
    project.wrapped(a="CREATE TABLE goods (id int);\n")
    project.ok("upgrade", "head")
    aws.rotate(secret, shop.fields(username=pair.other))
    project.wrapped(b="ALTER TABLE goods ADD COLUMN name text;\n")

    refused(project.upgrade(), "The ledger in schema public is out of reach", "pgpipe.role")

    shop.administer("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}", pair.other)
    shop.administer("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {}", pair.other)
    result = project.upgrade()
    assert result.code == 1
    assert "must be owner of table goods" in result.text
    assert "a rotation may swap users" in result.text
    assert "set pgpipe.role = shop_owner" in result.text

    shop.administer("REASSIGN OWNED BY {} TO {}", shop.user, pair.role)
    project.configure(role=pair.role)
    project.ok("pgpipe", "retry")
    project.ok("upgrade", "head")


def test_what_was_made_before_the_role_was_set_is_told(
    aws: FakeAws, pair: Pair, tmp_path: Path
) -> None:
    shop = pair.shop
    administer(shop.url, "CREATE TABLE goods (id int)")
    secret = aws.secret(shop.fields())
    project = Project(tmp_path, f"secretsmanager://{secret}", {"role": pair.role})
    project.wrapped(a="ALTER TABLE goods ADD COLUMN name text;\n")
    result = project.upgrade()
    assert result.code == 1
    assert f"REASSIGN OWNED BY … TO {pair.role};" in result.text
