"""Ship: upgrade, downgrade, stamp, current, history and --sql, with the ledger following."""

from __future__ import annotations

from tests.project import Project

TABLE = "CREATE TABLE public.{0} (id int);\n"


def test_upgrade_applies_records_and_logs(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"))
    result = project.upgrade()
    assert result.code == 0, result.text
    assert project.ledger() == {"a1": "SUCCESS", "a2": "SUCCESS"}
    assert project.outcomes("a1") == [("upgrade", "SUCCESS")]
    [(number, status, logs)] = project.query(
        "SELECT build_number, status, logs FROM migration_logs"
    )
    assert (number, status) == ("local_run", "SUCCESS")
    assert "a1" in logs and "a2" in logs
    assert project.scalar("SELECT count(*) FROM alembic_version") == 1
