"""A small rehearsal of a move on the tests' platform: the sides of `make rehearsal`, and commands in this process."""

import io
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from benchmarks import _platform
from benchmarks._day import Failed, Given
from benchmarks._move import Move, Scale
from benchmarks._move_cloud import NAME, NEW, OLD
from environments import CutOverSettings, ReleaseSettings, StepSettings
from migration import __main__ as migration
from migration import cutover
from pipeline.release import cli as release
from pipeline.release.clock import SystemClock
from tests.integration.conftest import Platform
from tests.integration.releases import eventually_quiet
from tests.oldsystem.database import OldSystem

SCALE = Scale(
    customers=300,
    paying=150,
    history=200,
    rate=12.0,
    old_seconds=0.0,
    told_seconds=4.0,  # slower than the platform on any machine: speed is not what this is about
    export_seconds=1.0,
    compared=60,
    most_percent=5.0,
    lag_seconds=4,
)
ALARMS = [f"payment-{alarm}-dev" for alarm in cutover.ALARMS]
_KEPT = (
    "AlarmName", "MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period",
    "EvaluationPeriods", "DatapointsToAlarm", "Threshold", "ComparisonOperator", "TreatMissingData",
    "AlarmDescription", "AlarmActions",
)  # fmt: skip


def short_cut_over(zone: str, *checks: str) -> CutOverSettings:
    """25, 50 and 100 %, with the fewest requests that tell something. ``checks`` decide at 50 %."""
    return CutOverSettings(
        hosted_zone_id=zone,
        name=NAME,
        old_host=OLD,
        new_host=NEW,
        ttl_seconds=10,
        checks=checks,
        release=ReleaseSettings(
            weights=(25, 50, 100),
            bake_seconds=90.0,
            hold_seconds=90.0,
            steps=(StepSettings(weight=50, approval=True),),
            metrics=(),
            minimum_requests=6,
        ),
    )


class SmallMove(Move):
    """Gives commands in this process: to start a Python for each takes as long as most of them."""

    def run(self, *words: str, code: int | None = 0, shown: bool = True) -> Given:
        main = {"migration": migration.main, "pipeline.release": release.main}[words[0]]
        stdout, stderr = io.StringIO(), io.StringIO()
        with self._role_of(*words), redirect_stdout(stdout), redirect_stderr(stderr):
            ended = main(words[1:])
        given = Given(code=ended, stdout=stdout.getvalue(), output=stdout.getvalue() + stderr.getvalue())
        if code is not None and given.code != code:
            raise Failed(f"{' '.join(words)} ends with {code}; instead: {given.code}: {given.output}")
        return given

    def _role_of(self, command: str, *words: str) -> AbstractContextManager[Any]:
        """A cut-over and its checks run under its own role. A person prepares it."""
        is_its = command == "migration" and words[0] == "cutover" and words[1] != "prepare"
        role = {"PLATFORM_ROLE_ARN": self.platform.outputs["CutOverRoleArn"]}
        return patch.dict(os.environ, role) if is_its else nullcontext()


@contextmanager
def small_move(
    platform: Platform, old: OldSystem, zone: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SmallMove]:
    """The move, before anybody pays. Other tests' alarms have no part in it, and releases are frozen for its time."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(SystemClock, "listen", lambda self: None)
    move = SmallMove(
        _platform.Platform(cloud=platform.cloud, environ=platform.environ, outputs=platform.outputs, here=folder),
        old, zone, folder, SCALE,
    )  # fmt: skip
    for name, value in move.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PLATFORM_ROLE_ARN", raising=False)
    with _patient_alarms(platform.client("cloudwatch")):
        move.run("pipeline.release", "freeze", "--env", "dev", "--reason", "cut-over")
        yield move
        move.run("pipeline.release", "unfreeze", "--env", "dev", "--reason", "over")


@contextmanager
def _patient_alarms(cloudwatch: Any) -> Iterator[None]:
    """A machine that runs other tests may be late."""
    before = cloudwatch.describe_alarms(AlarmNames=ALARMS)["MetricAlarms"]
    described = [{key: alarm[key] for key in _KEPT if alarm.get(key) is not None} for alarm in before]
    for alarm in described:
        cloudwatch.put_metric_alarm(**alarm | {"Threshold": 30_000.0})
    eventually_quiet(cloudwatch, ALARMS)
    yield
    for alarm in described:
        cloudwatch.put_metric_alarm(**alarm)
