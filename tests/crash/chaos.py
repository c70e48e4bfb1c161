"""Random projects, random faults, many runs: ``python -m tests.crash.chaos SECONDS SEED``.

Each project is made and disturbed by chance, which its number and the seed decide; at the
end it must be where an undisturbed one would be, each revision applied exactly once.  What
a person decides about a failed revision (mend it, retry it, skip it) belongs to the project.
``… SECONDS SEED NUMBER`` begins with another project than the first.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.crash.arena import Arena, Ground, Ledger, Run, arena, ground
from tests.crash.faults import FAULTS, Deed, Fault
from tests.crash.points import Kind
from tests.crash.promise import RAW
from tests.crash.proxy import Event, Side

UPGRADE = ("upgrade", "head")
SECONDS = 60.0
HELD = 3
MOST_DISTURBED = 5
# A decision for each revision, each behind a run that is held by it, and one run more.
MOST_QUIET = 24
ERROR = "SELECT 1 / 0;\n"
INVALID = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"


class Shape(Enum):
    """How a revision is written."""

    PLAIN = "plain"
    ENVELOPE = "envelope"
    COPY = "copy"
    ALONE = "alone"
    PYTHON = "python"


class Way(Enum):
    """What comes of a revision: most are right, the others fail until somebody decides."""

    RIGHT = "right"
    MENDED = "mended"
    RETRIED = "retried"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Plan:
    """One revision of a random project."""

    name: str
    shape: Shape
    way: Way

    @property
    def effects(self) -> tuple[str, str]:
        """Return what it does, once it is applied."""
        return f"{self.name}-1", f"{self.name}-2"

    def text(self, *, mended: bool = False) -> str:
        """Return its source."""
        error = "" if mended or self.way is Way.RIGHT else ERROR
        first, second = (f"INSERT INTO public.effects VALUES ('{e}');\n" for e in self.effects)
        table = f"CREATE TABLE public.{self.name} (a int);\n"
        match self.shape:
            case Shape.ENVELOPE:
                return f"BEGIN;\n{first}{table}{error}{second}COMMIT;\n"
            case Shape.COPY:
                rows = f"COPY public.effects FROM STDIN;\n{self.effects[1]}\n\\.\n"
                return first + table + error + rows
            case Shape.ALONE:
                index = f"CREATE INDEX CONCURRENTLY {self.name}_i ON public.effects (name);\n"
                return f"-- pgpipe: transaction = off\n{first}{error}{index}{table}{second}"
            case _:
                return first + table + error + second

    def code(self, *, mended: bool = False) -> str:
        """Return the body of its Python revision."""
        lines = self.text(mended=mended).splitlines()
        return "\n    ".join(f"op.execute({line!r})" for line in lines)


@dataclass(frozen=True, slots=True)
class Disturbance:
    """A fault at the message with a number, of those on that side."""

    fault: Fault
    side: Side
    number: int


@dataclass(slots=True)
class Nth:
    """Finds a message by its number; one that a server cannot refuse is not refused."""

    wanted: Disturbance
    seen: int = 0

    def is_here(self, event: Event) -> bool:
        """Return whether a message is the one; each is shown once."""
        if event.side is not self.wanted.side or event.link.cut.is_set():
            return False
        self.seen += 1
        refuses = self.wanted.fault.deed is Deed.REFUSE
        if refuses and event.text.startswith(("ROLLBACK", "BEGIN")):
            return False
        return self.seen >= self.wanted.number


@dataclass(frozen=True, slots=True)
class Story:
    """A project, and what its runs meet."""

    plans: tuple[Plan, ...]
    disturbances: tuple[Disturbance, ...]


@dataclass(slots=True)
class Figures:
    """What a campaign has come to."""

    projects: int = 0
    runs: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return them in lines."""
        faults = ", ".join(f"{n} {count}" for n, count in sorted(self.struck.items()))
        hit = sum(self.struck.values())
        return (
            f"{self.projects} projects, {self.runs} runs, {hit} faults ({faults}), "
            f"{len(self.violations)} violations"
        )


def tell(seed: int, number: int) -> Story:
    """Return a story; the same seed and number give the same one."""
    chance = random.Random(f"{seed}:{number}")
    ways = (*(Way.RIGHT,) * 7, Way.MENDED, Way.RETRIED, Way.SKIPPED)
    plans = tuple(
        Plan(f"r{place}", chance.choice(list(Shape)), chance.choice(ways))
        for place in range(1, chance.randint(2, 5) + 1)
    )
    common = [f for f in FAULTS if f.role is None and f.deed is not Deed.VANISH]
    own = [Fault(f"own {deed.value}", deed) for deed in (Deed.TERMINATE, Deed.END, Deed.RESET)]
    disturbances = tuple(
        Disturbance(
            chance.choice([*common, *own]),
            chance.choice((Side.SENT, Side.ANSWERED)),
            chance.randint(1, 50 + 25 * len(plans)),
        )
        for _ in range(chance.randint(1, MOST_DISTURBED))
    )
    return Story(plans, tuple(map(_possible, disturbances)))


def _possible(wanted: Disturbance) -> Disturbance:
    """Return a disturbance that can be: an answer cannot be refused."""
    if wanted.fault.deed is Deed.REFUSE:
        return Disturbance(wanted.fault, Side.SENT, wanted.number)
    return wanted


def play(shared: Ground, story: Story, figures: Figures) -> tuple[str, ...]:
    """Play a story to its end; return where the promise was broken."""
    with arena(shared, shared.models.of(Kind.FIRST)) as made:
        stage = _Stage(made, story, figures)
        stage.write()
        for build, wanted in enumerate(story.disturbances, 1):
            stage.disturb(build, wanted)
        last = stage.go_on()
        made.await_quiet()
        figures.projects += 1
        return tuple(stage.judge(last))


@dataclass(slots=True)
class _Stage:
    """One story as it is played."""

    made: Arena
    story: Story
    figures: Figures
    skipped: set[str] = field(default_factory=set)
    outputs: list[str] = field(default_factory=list)
    _retried: set[str] = field(default_factory=set)

    def write(self) -> None:
        """Write the project, in place of what the model has."""
        for path in self.made.folder.glob("alembic/*/*.*"):
            if path.parent.name in ("sql", "versions"):
                path.unlink()
        self.made.project.wrapped(**{plan.name: plan.text() for plan in self.story.plans})
        for plan in self.story.plans:
            if plan.shape is Shape.PYTHON:
                self._write_python(plan, mended=False)

    def disturb(self, build: int, wanted: Disturbance) -> None:
        """Let a run meet a disturbance, and let nobody wait for what is left of it."""
        if wanted.fault.deed is Deed.CRASH:
            self.made.query("CHECKPOINT")
        run = self.made.run_into(Nth(wanted), wanted.fault, UPGRADE, _build(build))
        self.figures.runs += 1
        if self.made.struck.is_set():
            self.figures.struck[wanted.fault.name] += 1
        self._note(run, raises=wanted.fault.deed is Deed.RAISE)
        if run.code == HELD:
            self._decide()

    def go_on(self) -> Run:
        """Run undisturbed, and decide what is to be decided, until there is nothing left."""
        run = Run(1, "")
        for build in range(MOST_QUIET):
            run = self.made.run(UPGRADE, _build(100 + build))
            self.figures.runs += 1
            self._note(run)
            if run.code == 0:
                break
            if run.code == HELD:
                self._decide()
        return run

    def judge(self, last: Run) -> Iterator[str]:
        """Yield what is wrong at the end."""
        if last.code != 0:
            yield f"the last run ends with {last.code}: {last.output}"
        effects = Counter(self.made.effects())
        ledger = self.made.ledger()
        if ledger is None:
            yield "there is no ledger"
            return
        for plan in self.story.plans:
            yield from self._of(plan, effects, ledger)
        yield from self._of_all(ledger)

    def _of(self, plan: Plan, effects: Counter[str], ledger: Ledger) -> Iterator[str]:
        status = ledger.statuses.get(plan.name)
        outcomes = Counter(o for name, _, o in ledger.attempts if name == plan.name)
        counts = tuple(effects[effect] for effect in plan.effects)
        skipped = plan.name in self.skipped
        if status != ("SKIPPED" if skipped else "SUCCESS"):
            yield f"{plan.name} is {status}"
        if outcomes["RUNNING"] or outcomes["SUCCESS"] != (not skipped):
            yield f"the attempts at {plan.name} ended {dict(outcomes)}"
        # What ran statement by statement keeps what it did before the error.
        allowed = {(0, 0)} if skipped else {(1, 1)}
        if skipped and plan.shape is Shape.ALONE:
            allowed.add((1, 0))
        if counts not in allowed:
            yield f"the effects of {plan.name} were {counts}"

    def _of_all(self, ledger: Ledger) -> Iterator[str]:
        open_ = [number for number, status in ledger.builds.items() if status is None]
        if open_:
            yield f"builds {open_} are left open"
        if self.made.locks():
            yield f"{self.made.locks()} advisory locks are left"
        if self.made.query(INVALID)[0][0]:
            yield "an index is left INVALID"
        for output in self.outputs:
            yield from (f"{sign!r} in: {output}" for sign in RAW if sign in output)

    # -- what a person does ----------------------------------------------------------------

    def _decide(self) -> None:
        """Decide about each revision that has failed."""
        ledger = self.made.ledger()
        statuses = ledger.statuses if ledger is not None else {}
        for plan in self.story.plans:
            if statuses.get(plan.name) == "ERROR":
                self._decide_on(plan)

    def _decide_on(self, plan: Plan) -> None:
        if plan.way is Way.SKIPPED:
            self.skipped.add(plan.name)
            self._say("skip", plan.name, "--reason", "chaos")
        elif plan.way is Way.RIGHT or plan.name in self._retried:
            # The server, or the tool's own code, is to blame for it.
            self._say("retry", plan.name)
        else:
            self._retried.add(plan.name)
            self._mend(plan)
            if plan.way is Way.RETRIED:
                self._say("retry", plan.name)

    def _mend(self, plan: Plan) -> None:
        if plan.shape is Shape.PYTHON:
            self._write_python(plan, mended=True)
        else:
            self.made.project.source(plan.name, plan.text(mended=True))

    def _write_python(self, plan: Plan, *, mended: bool) -> None:
        folder = self.made.folder / "alembic" / "versions"
        [path] = folder.glob(f"{revision_id(plan.name)}_*.py")
        head, _, rest = path.read_text().partition("def upgrade()")
        _, _, down = rest.partition("def downgrade()")
        body = f"def upgrade() -> None:\n    {plan.code(mended=mended)}\n\n\n"
        path.write_text(f"{head}{body}def downgrade(){down}")

    def _say(self, *words: str) -> None:
        run = self.made.run(("pgpipe", *words), _build(0))
        assert run.code == 0, run.output

    def _note(self, run: Run, *, raises: bool = False) -> None:
        if not raises:
            self.outputs.append(run.output)


def _build(number: int) -> dict[str, str]:
    return {"GITHUB_RUN_NUMBER": str(number), "GITHUB_RUN_ID": f"90{number}"}


def main(arguments: list[str]) -> int:
    """Play stories until the time is over; return the exit code."""
    seconds = float(arguments[0]) if arguments else SECONDS
    seed = int(arguments[1]) if arguments[1:] else random.randrange(1 << 32)
    number = int(arguments[2]) if arguments[2:] else 1
    figures, end = Figures(), time.monotonic() + seconds
    with ground() as shared:
        while time.monotonic() < end:
            for sentence in play(shared, tell(seed, number), figures):
                figures.violations.append(sentence)
                sys.stdout.write(f"project {number} of seed {seed}: {sentence}\n")
            number += 1
    sys.stdout.write(f"{figures} (seed {seed})\n")
    return int(bool(figures.violations))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
