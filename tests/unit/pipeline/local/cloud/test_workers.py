"""Which of the idle execution environments of the functions are ended."""

import time
from types import SimpleNamespace

import pytest
from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from pipeline.local.cloud.emulator import workers

ACCOUNT, REGION = "111111111111", "us-east-1"


def environment(*, idle: float = 0.0, in_use: bool = False) -> SimpleNamespace:
    return SimpleNamespace(in_use=in_use, last_used=time.time() - idle)


def test_idle_environments_end_but_for_one_of_each_version_that_an_alias_names(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a function with version 2 under blue and 3 sharing its traffic
    alias = {"FunctionVersion": "2", "RoutingConfig": {"AdditionalVersionWeights": {"3": 0.1}}}
    monkeypatch.setitem(lambda_svc._functions._data, (ACCOUNT, REGION, "f"), {"aliases": {"blue": alias}})
    # And environments of four versions
    pools = {
        "1": [environment(idle=60)],
        "2": [environment(idle=60), environment(idle=60)],
        "3": [environment(idle=60)],
        "$LATEST": [environment(idle=1), environment(idle=60, in_use=True), environment(idle=60)],
    }
    ended: list[SimpleNamespace] = []
    running = {f"{ACCOUNT}:{REGION}:f:{version}": list(pool) for version, pool in pools.items()}
    monkeypatch.setattr(lambda_runtime, "_workers", running)
    monkeypatch.setattr(lambda_runtime, "kill_workers", ended.extend)
    # When the idle ones are ended
    lambda_svc.reap_idle_workers()
    # Then versions 2 and 3 keep one each, and what works or just worked is left
    left = {pool.rpartition(":")[2]: len(kept) for pool, kept in running.items()}
    assert left == {"2": 1, "3": 1, "$LATEST": 2}
    assert len(ended) == 3
    assert workers.IDLE_SECONDS < 60
