"""Settings by which two databases make different things of one text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection

# Those that a source's text leaves to the session: where a name lies, what a literal means.
# One time zone has many names: what counts is which moments it makes of two midnights.
SETTINGS = """
SELECT name, pg_catalog.current_setting(name) AS value, CASE name
    WHEN 'TimeZone' THEN pg_catalog.concat_ws(' ',
        pg_catalog.date_part('epoch', '2026-01-01'::pg_catalog.timestamptz),
        pg_catalog.date_part('epoch', '2026-07-01'::pg_catalog.timestamptz))
    ELSE pg_catalog.current_setting(name) END AS meaning
FROM pg_catalog.unnest(ARRAY[
    'TimeZone', 'search_path', 'DateStyle', 'standard_conforming_strings']) AS name
"""


def settings_apart(database: Connection, rehearsal: Connection) -> Iterator[str]:
    """Yield a note for each setting that is not the same in both sessions.

    Either is one in which a source would be run.
    """
    here, there = _settings(database), _settings(rehearsal)
    for name, (value, meaning) in here.items():
        other, meant = there[name]
        if meaning != meant:
            yield (
                f"{name} is {value} in the database, {other} in the rehearsal: tables may be "
                "called missing or changed for it"
            )


def _settings(connection: Connection) -> Mapping[str, tuple[str, str]]:
    rows = connection.exec_driver_sql(SETTINGS)
    return {row.name: (row.value, row.meaning) for row in rows}
