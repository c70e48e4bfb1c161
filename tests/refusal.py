"""What every refusal has: one FAILED line, no traceback, and its exit code."""

from __future__ import annotations

from tests.project import Project, Result

LEDGER = ("migrations", "migration_logs", "migration_attempts", "alembic_version")
TABLES = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' "
    "AND relnamespace = 'public'::regnamespace AND relname <> ALL(%s) ORDER BY 1"
)


def refused(result: Result, *words: str, code: int = 1) -> str:
    """Expect one FAILED line that has these words, and an exit code; return the line."""
    assert result.code == code, result.text
    assert "Traceback" not in result.text
    [line] = [line for line in result.text.splitlines() if line.startswith("FAILED: ")]
    for word in words:
        assert word in line, line
    return line


def applied(project: Project) -> list[str]:
    """Return the tables that sources made in the schema public."""
    return [name for (name,) in project.query(TABLES, list(LEDGER))]
