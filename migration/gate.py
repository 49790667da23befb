"""The gate of a cut-over: the step that waits for approval is approved, or ended, by checks and their figures.

The checks take minutes, so they run beside the controller, which goes on to watch the step. Their answer is a request
like an operator's: it is stored, and stands in the release's record with who asked and why. A controller that takes
over begins the step again, and with it the checks.
"""

import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Protocol

from migration.outcome import ExitCode
from pipeline.release.analysis import AnalysisVerdict
from pipeline.release.gauges import Gauge
from pipeline.release.ports import Announcer, OperatorRequest, Records, RequestCommand
from pipeline.release.record import EventKind, Phase, Release

GATE = "the gate of the cut-over"
LONGEST_FIGURES = 1000
"""The record keeps so many characters of a check's answer."""


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What a check has found."""

    verdict: AnalysisVerdict
    figures: str
    """One line for the record: ``verify: 1,200,000 rows of 4 tables are the same``. No card numbers."""


class Check(Protocol):
    """Compares the two sides while both are at work, and changes nothing. An exception leaves the answer open."""

    def __call__(self) -> CheckResult: ...


VERDICTS: Mapping[int, AnalysisVerdict] = {
    ExitCode.DONE: AnalysisVerdict.PASS,
    ExitCode.FAILED: AnalysisVerdict.FAIL,
}
"""The exit codes of a command that compares the sides. All others leave the answer open."""
LONGEST_CHECK_SECONDS = 3 * 3600


@dataclass(frozen=True, kw_only=True)
class CommandCheck:
    """A ``Check`` by another command of ``python -m migration``, as a process of its own."""

    environment: str
    words: str
    """The command and its options: ``verify``, or ``reconcile --day {today}``. Days are those of UTC, and there is also
    ``{yesterday}``: a cut-over may go on over midnight."""

    def __call__(self) -> CheckResult:
        today = datetime.now(UTC).date()
        command, *options = self.words.format(today=today, yesterday=today - timedelta(days=1)).split()
        done = subprocess.run(
            [sys.executable, "-m", "migration", command, "--env", self.environment, *options],
            capture_output=True,
            text=True,
            timeout=LONGEST_CHECK_SECONDS,
        )
        lines = [*done.stdout.strip().splitlines(), *done.stderr.strip().splitlines()] or [
            f"exit code {done.returncode}"
        ]
        verdict = VERDICTS.get(done.returncode, AnalysisVerdict.INCONCLUSIVE)
        said = "; ".join(dict.fromkeys((lines[0], lines[-1])))
        return CheckResult(verdict=verdict, figures=f"{command}: {said}"[:LONGEST_FIGURES])


def beside(run: Callable[[], None]) -> None:
    """Run it in a thread, which ends with the process."""
    Thread(target=run, daemon=True, name="checks").start()


@dataclass(kw_only=True)
class Gate:
    """An ``Announcer``: it hears of each event of the release, and passes it on to ``announcer``.

    ``checks``: those of the way forward. On the way back, and without any, a person decides.
    """

    announcer: Announcer
    records: Records
    checks: Sequence[Check]
    tell: Callable[[str], None]
    start: Callable[[Callable[[], None]], None] = beside
    _waiting: Release | None = field(default=None, init=False)
    _runs: bool = field(default=False, init=False)

    def announce(self, release: Release) -> None:
        self._waiting = release if self._decides(release) else None
        self.announcer.announce(release)

    def post(self, release: Release) -> None:
        self.announcer.post(release)

    def publish(self, release: Release) -> None:
        self.announcer.publish(release)

    def measure(self, environment: str, gauges: Sequence[Gauge]) -> None:
        """Once a minute: checks that had no verdict are made again."""
        if self._waiting and not self._runs:
            self._runs = True
            release = self._waiting
            self.start(lambda: self._run(release))
        self.announcer.measure(environment, gauges)

    def _decides(self, release: Release) -> bool:
        waits = release.phase is Phase.BAKING and release.events[-1].kind is EventKind.APPROVAL
        return waits and bool(self.checks) and not release.undoes

    def _run(self, release: Release) -> None:
        try:
            results = [self._result(check) for check in self.checks]
            figures = "; ".join(result.figures for result in results)
            verdicts = {result.verdict for result in results}
            if AnalysisVerdict.FAIL in verdicts:
                self._ask(release, RequestCommand.ABORT, figures)
            elif AnalysisVerdict.INCONCLUSIVE in verdicts:
                self.tell(f"  the checks have no verdict yet, and are made again: {figures}")
            else:
                self._ask(release, RequestCommand.PROMOTE, figures)
        except Exception as error:
            self.tell(f"  the answer of the checks could not be left, and they are made again: {error}")
        finally:
            self._runs = False

    def _result(self, check: Check) -> CheckResult:
        try:
            return check()
        except Exception as error:
            name = getattr(check, "__name__", type(check).__name__)
            return CheckResult(verdict=AnalysisVerdict.INCONCLUSIVE, figures=f"{name}: {error}")

    def _ask(self, release: Release, command: RequestCommand, figures: str) -> None:
        if self._waiting is not release:  # it has moved on meanwhile
            return
        self._waiting = None
        self.records.ask(
            OperatorRequest(
                request_id=uuid.uuid4().hex,
                release_id=release.release_id,
                command=command,
                asked_by=GATE,
                reason=figures,
            )
        )
