"""The two tables as people make them by hand: the statements of the design, word for word."""

from __future__ import annotations

MIGRATIONS = """
CREATE TABLE public.migrations (
    id varchar(36) NOT NULL, finished_at timestamptz NULL, migration_name varchar(255) NOT NULL, logs text NULL,
    rolled_back_at timestamptz NULL, started_at timestamptz NOT NULL DEFAULT now(), applied_status text NOT NULL,
    PRIMARY KEY (id));
"""  # noqa: E501
BUILDS = """
CREATE TABLE IF NOT EXISTS migration_logs (
    id SERIAL PRIMARY KEY, build_number TEXT UNIQUE NOT NULL, timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    logs TEXT NOT NULL, status TEXT CHECK (status IN ('SUCCESS', 'FAILURE')));
"""  # noqa: E501
