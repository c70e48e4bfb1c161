"""What env.py calls: ``run(context)`` connects, runs what Alembic asks, and records it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from alembic_pgpipe import operations
from alembic_pgpipe.connect.database import Database, open_database
from alembic_pgpipe.connect.lasting import Lasting
from alembic_pgpipe.errors import PgpipeError
from alembic_pgpipe.invocation import invocation
from alembic_pgpipe.ledger.autogenerate import leave_alone
from alembic_pgpipe.ledger.build import current_build
from alembic_pgpipe.ledger.elsewhere import (
    VERSION_TABLE,
    Place,
    refuse_rows_elsewhere,
    refuse_versions_elsewhere,
)
from alembic_pgpipe.ledger.encoding import encoding_of
from alembic_pgpipe.ledger.recorder import Recorder
from alembic_pgpipe.ledger.tables import MIGRATIONS, NAMES, ledger_tables
from alembic_pgpipe.ledger.versions import forget_version
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.revisions.reach import again, is_ahead, shows_current, stamps
from alembic_pgpipe.run.build_log import BuildLog
from alembic_pgpipe.run.pipeline import Pipeline
from alembic_pgpipe.run.planner import Planner
from alembic_pgpipe.run.runner import Runner
from alembic_pgpipe.run.small_steps import SmallSteps
from alembic_pgpipe.run.step import Sources
from alembic_pgpipe.settings import HIDE, Settings, read_settings
from alembic_pgpipe.watching.progress import DISPLAY, Display

VISIT = "alembic_pgpipe.visit"
ELSEWHERE = "alembic_pgpipe.elsewhere"
# On the journal: a source that locks the ledger must not stop the run for ever.
JOURNAL_LOCK_TIMEOUT = "SET lock_timeout = '10s'"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Sends a project's commands to another database, as an attribute of ``Config``.

    ``options`` are those of the settings that differ; ``environ`` is all that the
    commands see of the variables outside.  ``watched`` are the revisions of which the
    attempts are to keep what they hold up.
    """

    options: Mapping[str, Any]
    environ: Mapping[str, str]
    watched: Collection[str] = frozenset()

    def watches(self, everything: frozenset[str]) -> frozenset[str]:
        """Return which revisions are watched, of a project that has those.

        Where all of them are, no table is older than they are, and none is looked at.
        """
        watched = frozenset(self.watched)
        return watched if everything - watched else frozenset()


@dataclass(frozen=True, slots=True)
class Visit:
    """What a command of ours gets to see of a project: all that ``run`` has resolved.

    ``hide`` is to hear of every password and token that is used.
    """

    settings: Settings
    revisions: ProjectRevisions
    options: Mapping[str, Any]
    environ: Mapping[str, str]
    hide: Callable[[str], None]

    def heads(self, connection: Connection) -> tuple[str, ...]:
        """Return what ``alembic_version`` says, through Alembic's own reading of it.

        Raises LedgerError where the project's versions are kept in another place.
        """
        _refuse_versions_elsewhere(connection, self.settings, self.revisions, self.options)
        options = _options(self.settings, self.options)
        context = MigrationContext.configure(connection, opts=options)
        return context.get_current_heads()

    def forget_version(self, connection: Connection, version: str) -> None:
        """Take one revision out of ``alembic_version``, in the connection's transaction."""
        forget_version(connection, _version_table(self.settings, self.options), version)


def run(context: EnvironmentContext | ModuleType, **options: Any) -> None:
    """Run the command that Alembic was given; the one call that env.py makes.

    ``context`` is ``alembic.context``.  ``options`` go to ``context.configure``, for
    instance ``target_metadata``.  Upgrades, downgrades and stamps are recorded in the
    ledger; other commands only read.  Raises PgpipeError with a message for people.
    """
    environment = _environment(context)
    try:
        _run(environment, options)
    except PgpipeError as error:
        error.args = (invocation(environment.config).typed(str(error)),)
        raise


def _run(environment: EnvironmentContext, options: Mapping[str, Any]) -> None:
    attributes = environment.config.attributes
    elsewhere: Elsewhere = attributes.get(ELSEWHERE, Elsewhere({}, os.environ))
    settings = replace(read_settings(environment.config), **elsewhere.options)
    revisions = ProjectRevisions(environment.script, settings)
    visit: Callable[[Visit], None] | None = attributes.get(VISIT)
    if visit is not None:
        hide = attributes.get(HIDE, lambda secret: None)
        visit(Visit(settings, revisions, options, elsewhere.environ, hide))
    elif environment.is_offline_mode():
        _write_script(environment, settings, revisions, options)
    elif "destination_rev" in environment.context_opts:
        _move(environment, settings, revisions, options, elsewhere)
    elif environment.context_opts.get("revision_context") is not None and not _compares(
        environment
    ):
        _only_ask(environment, options)
    else:
        _look(environment, settings, revisions, options)


def _environment(context: EnvironmentContext | ModuleType) -> EnvironmentContext:
    """Return the environment behind ``alembic.context``, whose public face is a module.

    The module offers no way to ask which command runs; the object behind it does
    (``context_opts``).
    """
    if isinstance(context, EnvironmentContext):
        return context
    environment: EnvironmentContext = context._proxy  # noqa: SLF001
    return environment


def _move(
    environment: EnvironmentContext,
    settings: Settings,
    revisions: ProjectRevisions,
    options: Mapping[str, Any],
    elsewhere: Elsewhere,
) -> None:
    """Upgrade, downgrade or stamp: with a build log from the first moment on."""
    environ = elsewhere.environ
    build = current_build(environ, settings.build_number_env)
    display: Display | None = environment.config.attributes.get(DISPLAY)
    echo = _echo(environment.config, display)
    log = BuildLog(build, settings.log_file, echo, invocation(environment.config))
    following = again(environment.context_opts)
    opened = open_database(settings, environ, hide=log.hide, say=log.say, again=following)
    with log, opened as database:
        log.say(f"build {build.number} · {database.label}")
        with (
            _journal(database, settings, revisions, log) as journal,
            log.recorded_in(journal.builds),
            database.connect() as main,
        ):
            sources = Sources(settings)
            _refuse_versions_elsewhere(main, settings, revisions, options)
            planner = Planner(revisions, journal, sources, log)
            runner = Runner(
                database,
                settings,
                main,
                journal,
                log,
                sources,
                planner.applied_files,
                display,
                watched=elsewhere.watches(revisions.ids()) if elsewhere.watched else (),
            )
            _pipeline(environment, runner, planner, options).run()


def _echo(config: Config, display: Display | None) -> Callable[[str], None]:
    """Return what prints a line of the log, in place of what the display shows now."""

    def echo(line: str) -> None:
        if display is not None:
            display.hide()
        config.print_stdout("%s", line)

    return echo


@contextmanager
def _journal(
    database: Database, settings: Settings, revisions: ProjectRevisions, log: BuildLog
) -> Iterator[Recorder]:
    """Open the journal, and create what is missing of the ledger."""

    @contextmanager
    def opened() -> Iterator[Connection]:
        with database.connect(autocommit=True) as connection:
            connection.exec_driver_sql(JOURNAL_LOCK_TIMEOUT)
            if log.is_recorded:
                Recorder.on(connection, settings.schema).builds.stay_alive(log.number)
            yield connection

    with Lasting(opened) as lasting:
        tables = ledger_tables(settings.schema, encoding_of(lasting()))
        journal = Recorder(lasting, tables, again=database.again)
        missing = journal.relations.missing()
        if MIGRATIONS in missing:
            names = {revision.name for revision in revisions.all()}
            refuse_rows_elsewhere(lasting(), settings.schema, names)
        if missing:
            with database.connect() as creator, creator.begin():
                Recorder.on(creator, settings.schema).relations.create()
        yield journal


def _pipeline(
    environment: EnvironmentContext,
    runner: Runner,
    planner: Planner,
    options: Mapping[str, Any],
) -> Pipeline:
    steps, callbacks = environment.context_opts["fn"], _callbacks(options)
    pipeline: Pipeline
    given = _options(runner.settings, options) | {
        "connection": runner.main,
        # A stamp is all or nothing, as in Alembic: nothing is run that would have to stay.
        "transaction_per_migration": not stamps(steps),
        "fn": lambda heads, context: pipeline.next_steps(heads, context),
        "on_version_apply": (
            lambda **kw: pipeline.on_version_apply(**kw),
            *callbacks,
        ),
        operations.RUNNER: runner,
    }
    environment.configure(**given)
    pipeline = Pipeline(
        runner,
        planner,
        SmallSteps(runner, None if callbacks else _version_table(runner.settings, options)),
        environment.get_context(),
        steps,
        environment.run_migrations,
        looks_ahead=is_ahead(steps, environment.context_opts),
    )
    return pipeline


def _look(
    environment: EnvironmentContext,
    settings: Settings,
    revisions: ProjectRevisions,
    options: Mapping[str, Any],
) -> None:
    """Answer a command that changes nothing: current, show, history, check, …"""
    with (
        open_database(settings, os.environ) as database,
        database.connect(own=False) as connection,
    ):
        _refuse_versions_elsewhere(connection, settings, revisions, options)
        own = {Place(settings.schema, name) for name in NAMES}
        own.add(_version_table(settings, options))
        given = _options(settings, options)
        given["include_object"] = leave_alone(connection, own, options.get("include_object"))
        # Of Alembic's own commands only ``current`` asks not to create alembic_version.
        given |= {"connection": connection, "dont_mutate": True}
        environment.configure(**given)
        if shows_current(environment.context_opts["fn"]):
            revisions.see_recent(environment.get_context().get_current_heads())
        with environment.begin_transaction():
            environment.run_migrations()


def _only_ask(environment: EnvironmentContext, options: Mapping[str, Any]) -> None:
    """Write a new revision without a database, where ``revision_environment`` is set."""
    environment.configure(dialect_name="postgresql", **options)
    steps = environment.context_opts["fn"]
    list(steps((), environment.get_context()))


def _compares(environment: EnvironmentContext) -> bool:
    revision_context = environment.context_opts["revision_context"]
    return bool(revision_context.command_args.get("autogenerate"))


def _write_script(
    environment: EnvironmentContext,
    settings: Settings,
    revisions: ProjectRevisions,
    options: Mapping[str, Any],
) -> None:
    from alembic_pgpipe.run.offline import Offline

    offline: Offline
    steps = environment.context_opts["fn"]
    # Doubled percent signs are for a driver that takes parameters; a script has none.
    given: dict[str, Any] = {"literal_binds": True, "dialect_opts": {"paramstyle": "named"}}
    given |= _options(settings, options) | {
        "dialect_name": "postgresql",
        "transaction_per_migration": True,
        "fn": lambda heads, context: offline.begin(heads, steps(heads, context)),
        "on_version_apply": (
            lambda **kw: offline.on_version_apply(**kw),
            *_callbacks(options),
        ),
    }
    environment.configure(**given)
    context = environment.get_context()
    build = current_build(os.environ, settings.build_number_env)
    tables = ledger_tables(settings.schema)
    offline = Offline(context, revisions, Sources(settings), tables, build)
    context.opts[operations.RUNNER] = offline
    with environment.begin_transaction():
        environment.run_migrations()


def _refuse_versions_elsewhere(
    connection: Connection,
    settings: Settings,
    revisions: ProjectRevisions,
    options: Mapping[str, Any],
) -> None:
    """Refuse to take applied revisions for pending, unless env.py names the schema."""
    if options.get("version_table_schema") is None:
        own = _version_table(settings, options)
        refuse_versions_elsewhere(connection, own, lambda: {r.id for r in revisions.all()})
        connection.rollback()


def _version_table(settings: Settings, options: Mapping[str, Any]) -> Place:
    """Return where the versions are; without a schema the search path would decide."""
    schema = options.get("version_table_schema")
    name = options.get("version_table", VERSION_TABLE)
    return Place(settings.schema if schema is None else schema, name)


def _callbacks(options: Mapping[str, Any]) -> tuple[Callable[..., None], ...]:
    """Return the project's own ``on_version_apply``: none, one, or several."""
    given = options.get("on_version_apply") or ()
    return (given,) if callable(given) else tuple(given)


def _options(settings: Settings, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options for ``configure``: ours, unless env.py says otherwise."""
    return {**options, "version_table_schema": _version_table(settings, options).schema}
