"""The promises of the release controller hold when two DNS records divide the traffic: under the random commands,
crashes, failing calls, alarms and meddling hands of the tests of releases."""

from hypothesis import HealthCheck, settings

from tests.unit.migration.cutover_bench import RecordsBench
from tests.unit.pipeline.release.test_state_machine import Releases


class CutOvers(Releases):
    made_of = RecordsBench


TestCutOvers = CutOvers.TestCase
TestCutOvers.settings = settings(max_examples=60, stateful_step_count=15, suppress_health_check=list(HealthCheck))
