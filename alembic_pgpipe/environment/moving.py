"""Upgrades, downgrades and stamps: a build with its log, and Alembic's steps on the ledger."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from alembic_pgpipe.connect.database import Database, open_database
from alembic_pgpipe.environment.given import Given
from alembic_pgpipe.environment.visit import Elsewhere
from alembic_pgpipe.invocation import invocation
from alembic_pgpipe.ledger.build import current_build
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.operations import RUNNER
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.revisions.reach import again, is_ahead, stamps
from alembic_pgpipe.run.build_log import BuildLog
from alembic_pgpipe.run.journal import open_journal
from alembic_pgpipe.run.known import Known
from alembic_pgpipe.run.request import AlembicStep, Request
from alembic_pgpipe.sending.driver import DriverConnection
from alembic_pgpipe.sending.session import Session
from alembic_pgpipe.watching.display import DISPLAY, Display

if TYPE_CHECKING:
    from alembic_pgpipe.run.pipeline import Pipeline
    from alembic_pgpipe.run.runner import Runner


def move(
    environment: EnvironmentContext,
    given: Given,
    revisions: ProjectRevisions,
    elsewhere: Elsewhere,
) -> None:
    """Do what Alembic was asked for: with a build log from the first moment on."""
    settings, environ = given.settings, elsewhere.environ
    display: Display | None = environment.config.attributes.get(DISPLAY)
    build, echo = current_build(environ, settings.build_number_env), _echo(environment, display)
    log = BuildLog(build, settings.log_file, echo, invocation(environment.config))
    following = again(environment.context_opts)
    opened = open_database(settings, environ, hide=log.hide, say=log.say, again=following)
    with log, opened as database:
        log.say(f"build {build.number} · {database.label}")
        with (
            open_journal(database, revisions, log) as journal,
            log.recorded_in(journal.builds),
            database.connect() as main,
        ):
            given.refuse_versions_elsewhere(main, revisions)
            watched = elsewhere.watches(revisions.ids()) if elsewhere.watched else ()
            Moving(
                environment, given, revisions, database, main, journal, log, display, watched
            ).run()


def _echo(environment: EnvironmentContext, display: Display | None) -> Callable[[str], None]:
    """Return what prints a line of the log, in place of what the display shows now."""
    config: Config = environment.config

    def echo(line: str) -> None:
        if display is not None:
            display.hide()
        config.print_stdout("%s", line)

    return echo


@dataclass(slots=True)
class Moving:
    """One upgrade, downgrade or stamp, with its two connections.

    There is a pipeline as soon as there is something to do.
    """

    environment: EnvironmentContext
    given: Given
    revisions: ProjectRevisions
    database: Database
    main: Connection
    journal: Recorder
    log: BuildLog
    display: Display | None
    watched: Collection[str]
    _pipeline: Pipeline | None = None

    def run(self) -> None:
        """Run what is to be run; the lock is taken only where there is something."""
        request = self._request()
        if request.is_done():
            self.log.say("nothing to do")
            self.log.bury_abandoned()
            request.run()
        else:
            self._run_steps(request)

    def _request(self) -> Request:
        """Return what Alembic was asked for; it is to take each step from the pipeline."""
        environment, given = self.environment, self.given
        steps = environment.context_opts["fn"]
        options = given.configured() | {
            "connection": self.main,
            # A stamp is all or nothing, as in Alembic: nothing is run that would have to stay.
            "transaction_per_migration": not stamps(steps),
            "fn": self._next_steps,
            "on_version_apply": (self._on_version_apply, *given.callbacks),
        }
        environment.configure(**options)
        return Request(
            environment.get_context(),
            steps,
            environment.run_migrations,
            Known(self.revisions, self.journal.reading),
            Session(DriverConnection(self.main), given.settings),
            looks_ahead=is_ahead(steps, environment.context_opts),
        )

    def _next_steps(self, heads: Any, context: MigrationContext) -> Iterable[AlembicStep]:
        return () if self._pipeline is None else self._pipeline.next_steps(heads, context)

    def _on_version_apply(self, **applied: Any) -> None:
        if self._pipeline is not None:
            self._pipeline.on_version_apply(**applied)

    def _run_steps(self, request: Request) -> None:
        # Most runs have nothing to do, and start without all this.
        from alembic_pgpipe.run.pipeline import Pipeline
        from alembic_pgpipe.run.planner import Planner
        from alembic_pgpipe.run.small_steps import SmallSteps

        runner, callbacks = self._runner(request.known), self.given.callbacks
        request.context.opts[RUNNER] = runner
        self._pipeline = Pipeline(
            runner,
            Planner(request.known, self.journal, runner.sources, self.log),
            SmallSteps(runner, None if callbacks else self.given.versions),
            request,
        )
        self._pipeline.run()

    def _runner(self, known: Known) -> Runner:
        from alembic_pgpipe.run.runner import Runner
        from alembic_pgpipe.run.step import Sources

        return Runner(
            self.database,
            self.given.settings,
            self.main,
            self.journal,
            self.log,
            Sources(self.given.settings),
            known.applied_files,
            self.display,
            watched=self.watched,
        )
