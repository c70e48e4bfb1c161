"""The page about AWS tells how to make the owner role: its SQL, run as RDS would run it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg2 import extensions
from sqlalchemy import URL

from tests.conftest import connect_to

PAGE = Path(__file__).parents[3] / "docs/aws/README.md"
SQL = re.compile(r"^```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def shop() -> str:
    """Give the database on the page a name that nobody else has, and so its roles."""
    return f"shop_{uuid4().hex[:8]}"


@pytest.fixture
def cursor(database: URL, shop: str) -> Iterator[extensions.cursor]:
    """Give a cursor of a master who is no superuser, in a database with a user's table."""
    connection = connect_to(database)
    connection.autocommit = False
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE ROLE {shop}_master CREATEROLE CREATEDB;"
            f"SET SESSION AUTHORIZATION {shop}_master; CREATE ROLE {shop} LOGIN;"
            "RESET SESSION AUTHORIZATION;"
            f"ALTER DATABASE {database.database} OWNER TO {shop}_master;"
            "CREATE SCHEMA earlier; CREATE TABLE earlier.made ();"
            f"ALTER TABLE earlier.made OWNER TO {shop};"
            f"GRANT USAGE ON SCHEMA earlier TO {shop};"
            f"SET SESSION AUTHORIZATION {shop}_master"
        )
        yield cursor
    connection.rollback()
    connection.close()


def test_what_one_user_makes_the_other_may_alter(
    cursor: extensions.cursor, database: URL, shop: str
) -> None:
    told = SQL.findall(PAGE.read_text("utf-8"))[0]
    told = told.replace("DATABASE shop ", f"DATABASE {database.database} ")
    cursor.execute(re.sub(r"\bshop(?=\b|_owner)", shop, told))
    # As AWS's rotation makes it.
    cursor.execute(f"CREATE ROLE {shop}_clone LOGIN; GRANT {shop} TO {shop}_clone")
    cursor.execute(
        f"RESET SESSION AUTHORIZATION; SET SESSION AUTHORIZATION {shop};"
        f"SET ROLE {shop}_owner; CREATE TABLE public.made ();"
        f"RESET SESSION AUTHORIZATION; SET SESSION AUTHORIZATION {shop}_clone;"
        f"SET ROLE {shop}_owner; ALTER TABLE public.made ADD COLUMN id integer"
    )
    cursor.execute(
        "SELECT relname, pg_get_userbyid(relowner) FROM pg_class "
        "WHERE relname = 'made' ORDER BY relnamespace::regnamespace::text"
    )
    assert cursor.fetchall() == [("made", f"{shop}_owner")] * 2
