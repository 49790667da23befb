"""Moves clients from the old system to the platform by weight, under watch, and back.

Clients call one name. Two weighted DNS records divide its answers between the old system (blue) and the platform
(green): 1, 5, 25, 50, 100 %. The release controller moves them, as it moves a release: it writes each step down, reads
it back, compares both sides, and goes back by itself. The name must be divided first: `prepare`.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import boto3

import names
from environments import CutOverSettings, Environment, environment
from migration.cutover_metrics import CutOverMetrics
from migration.gate import Check, CommandCheck, Gate
from migration.prepare import Unprepared, prepare
from migration.weighted_records import WeightedRecords
from names import Table
from pipeline.aws import PlatformOutputs, session
from pipeline.release.aws import calling
from pipeline.release.aws.alarms import AwsAlarms
from pipeline.release.aws.announcer import AwsAnnouncer
from pipeline.release.aws.metrics import MetricTiming
from pipeline.release.aws.records import AwsRecords
from pipeline.release.cli import outputs_of, tell_on, who_asks
from pipeline.release.clock import SystemClock
from pipeline.release.commands import Commands
from pipeline.release.controller import World
from pipeline.release.guards import Refusal
from pipeline.release.outcome import Outcome, Why, done, refused
from pipeline.release.plan import Plan, bake_scale
from pipeline.release.ports import Records
from pipeline.release.program import EXIT_CODES, Command, Program
from pipeline.release.record import Phase
from pipeline.release.stored import stored
from pipeline.release.traffic import Versions
from pipeline.release.view import command, name, plan_lines

ALARMS = ("api-errors", "api-latency")
"""The platform's alarms that end a cut-over. The old system's own trouble is no reason to send it more."""


@dataclass(frozen=True, kw_only=True)
class CutOver(Commands):
    """The commands of a cut-over, whose records are beside those of the platform's releases."""

    platform: str
    """The environment."""
    releases: Records
    """Those of the platform's own releases."""
    is_gated: bool
    """Whether checks decide the step that waits for approval."""
    divide: Callable[[bool], Sequence[str]]
    """Makes the two records; with true, only says so. Raises ``Unprepared``."""

    def prepare(self) -> Outcome:
        """Replace the record of the name by two weighted ones, all of it still on the old system. Give it once."""
        try:
            return done("\n".join(self.divide(self.dry_run)))
        except Unprepared as error:
            return refused(str(error), Why.DRIFT)

    def promote(self, *, now: bool = False) -> Outcome:
        """End the current bake; with `--now`, skip all bakes and analysis. The checks' step needs `--override`."""
        left = self._driver.unfinished()
        skips = now or (left is not None and left.plan.needs_approval(left.weight))
        undoes = left is not None and left.undoes
        if self.is_gated and skips and not undoes and self.override is None:
            text = "the checks decide this step, and are at it. `--override REASON` goes on without them"
            return refused(text, Why.UNCHECKED, release=left)
        return super().promote(now=now)

    def undo(self, *, now: bool = False, to: Versions | None = None) -> Outcome:
        """Go back to the old system, under watch, or with `--now` at once. It needs what was taken here: `export`."""
        outcome = super().undo(now=now, to=to)
        if outcome.release is None or outcome.release.phase is not Phase.PROMOTED:
            return outcome
        words = f"python -m migration export --env {self.platform}"
        return replace(outcome, text=f"{outcome.text}; what was taken here goes to the old system by `{words} …`")

    def report(self) -> Outcome:
        """Write the report of the last cut-over."""
        last = self.world.records.last()
        if last is None:
            return refused("there was no cut-over yet: `shift` starts one", Why.NOT_UNDER_WAY)
        return done(f"cut-over {last.release_id}, {name(last.stable)} → {name(last.candidate)}: {last.phase}", last)

    def _closed(self) -> Sequence[Refusal]:
        """A release of the platform would change the side that is being judged."""
        reasons = [*super()._closed()]
        last, freeze = self.releases.last(), self.releases.freeze()
        if last and not last.finished:
            reasons.append(Refusal(Why.UNDER_WAY, f"release {last.release_id} of {self.platform} is under way"))
        elif freeze is None or not freeze.frozen:
            frozen = f'{command(self.platform, "freeze")} --reason "cut-over"'
            reasons.append(Refusal(Why.NOT_FROZEN, f"releases of {self.platform} may start: `{frozen}` first"))
        return reasons


def show_plan(settings: Environment) -> Outcome:
    """The plan on one screen: weights, bakes, analysis, limits. Needs no AWS."""
    release = _settings(settings, None).release
    plan = Plan.of(release)
    lines = plan_lines(names.cut_over(settings.name), plan, release.windows, release.freeze_alarms)
    return done("\n".join(lines), details={"plan": stored(plan), "windows": release.windows})


COMMANDS = {
    "prepare": Command(CutOver.prepare, ("--dry-run", "")),
    "plan": Command(show_plan, moves=False, opens=False),
    "shift": Command(CutOver.shift, ("", "--dry-run")),
    "status": Command(CutOver.status, moves=False),
    "watch": Command(CutOver.status, moves=False),
    "pause": Command(CutOver.pause, ('--for 2h --reason "a merchant asks"',), options=("for",)),
    "resume": Command(CutOver.resume, ('--reason "it was theirs"',)),
    "promote": Command(CutOver.promote, ("", '--override "reconciled by hand"'), options=("now",)),
    "abort": Command(CutOver.abort, ('--reason "declines rise"',)),
    "rollback": Command(CutOver.rollback, ("", "--force"), options=("force",)),
    "retry": Command(CutOver.retry, ("",)),
    "undo": Command(CutOver.undo, ("", "--now"), options=("now",)),
    "history": Command(CutOver.history, moves=False),
    "report": Command(CutOver.report, moves=False, reports=True),
}


def _settings(settings: Environment, outputs: PlatformOutputs | None) -> CutOverSettings:
    """The cut-over of an environment: of environments.py, or the rehearsal with which its stack was deployed."""
    if settings.migration and settings.migration.cut_over:
        return settings.migration.cut_over
    zone = outputs.values.get("CutOverZoneId") if outputs else None
    if outputs is None or zone is None:
        raise ValueError(f"{settings.name} has no cut-over: set `migration.cut_over` in environments.py")
    hosts = outputs["CutOverOldHost"], outputs["CutOverNewHost"]
    return CutOverSettings.rehearsed(zone, outputs["CutOverName"], *hosts)


def _known(settings: Environment) -> PlatformOutputs:
    """What a cut-over in an emergency needs of the platform."""
    values = {"ReleaseTableName": Table.RELEASES.of(settings.name), "AlertTopicArn": ""}
    return PlatformOutputs(stack_name=settings.stack_name, values=values)


def _commands(arguments: argparse.Namespace) -> CutOver:
    settings = environment(arguments.env)
    clock, moves = SystemClock(), COMMANDS[arguments.command].moves
    if moves or arguments.command == "watch":
        clock.listen()
    with calling(f"opening environment {settings.name}"):
        aws = session(settings.region, settings.name)
        who = who_asks(aws, moves=moves)
        in_emergency = bool(vars(arguments).get("force"))
        outputs = outputs_of(settings, aws, in_emergency=in_emergency, known=lambda: _known(settings))
    moving = _settings(settings, outputs)
    return cut_over(
        aws,
        settings,
        moving,
        outputs,
        clock=clock,
        who=who,
        tell=tell_on(sys.stderr if arguments.json else sys.stdout),
        checks=[CommandCheck(environment=settings.name, words=words) for words in moving.checks],
        arguments=arguments,
    )


def cut_over(
    aws: boto3.Session,
    settings: Environment,
    cut_over: CutOverSettings,
    outputs: PlatformOutputs,
    *,
    clock: Any,
    who: str,
    tell: Callable[[str], None],
    checks: Sequence[Check],
    arguments: argparse.Namespace,
) -> CutOver:
    """The commands, in the hands of ``who``."""
    own, release = names.cut_over(settings.name), cut_over.release
    table = outputs["ReleaseTableName"]
    records = AwsRecords(aws, table=table, environment=own, holder=who, now=clock.now)
    world = World(
        router=WeightedRecords(aws, cut_over, now=clock.now, sleep=clock.sleep),
        alarms=AwsAlarms(
            aws,
            rollback=[names.resource(alarm, settings.name) for alarm in ALARMS],
            freeze=release.freeze_alarms,
            green="",
        ),
        metrics=CutOverMetrics(aws, outputs, settings.name, MetricTiming.scaled(bake_scale())),
        records=records,
        announcer=Gate(announcer=AwsAnnouncer(aws, outputs), records=records, checks=checks, tell=tell),
        clock=clock,
        tell=tell,
        moved_by="Route 53",
    )
    return CutOver(
        environment=own,
        platform=settings.name,
        settings=release,
        plan=Plan.of(release),
        world=world,
        releases=AwsRecords(aws, table=table, environment=settings.name, holder=who),
        is_gated=bool(checks),
        divide=lambda dry_run: prepare(aws, cut_over, dry_run=dry_run),
        asked_by=who,
        reason=arguments.reason,
        override=arguments.override,
        dry_run=arguments.dry_run,
    )


PROGRAM = Program(
    line="python -m migration cutover",
    description=__doc__,
    commands=COMMANDS,
    open=lambda arguments: _commands(arguments),
    records_of=names.cut_over,
    page="cut-over-goes-wrong",
)


def register(commands: Any) -> None:
    """Add `cutover` with its own commands."""
    parser = commands.add_parser(
        "cutover",
        help="move clients to the platform by weight, and back",
        description=__doc__,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    PROGRAM.add_commands(parser).set_defaults(run=PROGRAM.run)
