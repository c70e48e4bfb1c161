"""Questions to PostgreSQL's catalogues, answered alike whatever the session is set to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

# What the server's answers depend on; under this search path every name but PostgreSQL's
# own comes qualified, and temporary objects hide nothing.
FIXED = {
    "search_path": "pg_catalog, pg_temp",
    "quote_all_identifiers": "off",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
}
SET = "SELECT pg_catalog.set_config(key, value, true) FROM pg_catalog.json_each_text(%s::json)"
SETTINGS_NOW = (
    "SELECT name, pg_catalog.current_setting(name) AS value "
    "FROM pg_catalog.unnest(%s::pg_catalog.text[]) AS name"
)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The catalogues of one database, as a session with fixed settings sees them."""

    connection: Connection

    def rows(self, query: str, *values: object) -> Sequence[Row[Any]]:
        """Return the rows of a query; a percent sign of its own is written twice."""
        # Sent as one text: in autocommit, what is set lasts as long as the text.
        setting = (json.dumps(FIXED), *values)
        return self.connection.exec_driver_sql(f"{SET};\n{query}", setting).all()


@contextmanager
def catalogue(connection: Connection) -> Iterator[Catalogue]:
    """Give the catalogues; the session's settings are afterwards what they were."""
    before = connection.exec_driver_sql(SETTINGS_NOW, (list(FIXED),)).all()
    yield Catalogue(connection)
    # After an error there is nothing to do: a transaction takes its settings with it.
    kept = {row.name: row.value for row in before}
    connection.exec_driver_sql(SET, (json.dumps(kept),)).all()
