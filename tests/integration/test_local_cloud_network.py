"""The VPC of the local cloud: a missing rule or route shows where a connection is made. So does a lost database."""

import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests.integration.conftest import Platform
from tests.integration.test_local_cloud_services import eventually

DECISION_SECONDS = 1.0
"""The time for which the local cloud may use an admission again."""


@pytest.fixture
def restored(platform: Platform) -> Iterator[Platform]:
    """The platform, whose own template is deployed again after the test."""
    yield platform
    platform.update_stack(platform.template())
    for route in ("/validate", "/process"):
        assert eventually(lambda route=route: platform.api().pay(route).status in (200, 201))  # type: ignore[misc]


def without(platform: Platform, resource_type: str, name: str) -> dict[str, Any]:
    """The template without the one resource of this type whose logical id begins with ``name``."""
    template = platform.template()
    [id] = [
        id
        for id, resource in template["Resources"].items()
        if resource["Type"] == resource_type and id.startswith(name)
    ]
    del template["Resources"][id]
    for resource in template["Resources"].values():
        depends = resource.get("DependsOn")
        if isinstance(depends, list) and id in depends:
            depends.remove(id)
    return template


def postgres(platform: Platform) -> psutil.Process:
    """The process of the local cloud's PostgreSQL server."""
    emulator = platform.cloud._process()
    assert emulator is not None
    [server] = [each for each in emulator.children(recursive=True) if _is_postmaster(each)]
    return server


def _is_postmaster(process: psutil.Process) -> bool:
    parent = process.parent()
    return process.name() == "postgres" and (parent is None or parent.name() != "postgres")


def kill(server: psutil.Process) -> None:
    """Kill PostgreSQL. Connections end, and the local cloud starts another one."""
    server.send_signal(signal.SIGKILL)
    server.wait(10)


def database_status(platform: Platform) -> str:
    rds: Any = platform.client("rds")
    return str(rds.describe_db_clusters()["DBClusters"][0]["Status"])


def test_a_killed_postgresql_is_started_again_with_its_data(platform: Platform) -> None:
    # Given a customer that is read from the database
    assert platform.api().pay("/validate").status == 200
    killed = postgres(platform)
    # When the server is killed
    kill(killed)
    # Then another one serves the same data, to the functions that were connected to the old one
    assert eventually(lambda: platform.api().pay("/validate").status == 200)
    assert postgres(platform).pid != killed.pid
    assert database_status(platform) == "available"


@pytest.mark.parametrize(
    ("resource_type", "rule", "missing"),
    [
        ("AWS::EC2::SecurityGroupIngress", "NetworkDatabaseSecurityGroup", "no ingress rule"),
        ("AWS::EC2::SecurityGroupEgress", "NetworkFunctionsSecurityGroup", "no egress rule"),
    ],
)
def test_without_a_rule_the_functions_do_not_reach_the_database(
    restored: Platform, resource_type: str, rule: str, missing: str
) -> None:
    # Given a template that lacks one of the two rules between functions and database
    restored.update_stack(without(restored, resource_type, rule))
    time.sleep(DECISION_SECONDS)
    # When a function opens a new connection, because its old one ended with the server
    kill(postgres(restored))
    # Then nobody answers it, although the server is back
    assert eventually(lambda: restored.api().pay("/validate").status == 503)
    assert eventually(lambda: database_status(restored) == "available")
    assert restored.api().pay("/validate").status == 503
    # And the log says why
    log = restored.cloud.log_path.read_text()
    assert re.search(rf"function \S+ can't reach the database: {missing} of sg-\w+ \(.*\) admits .*port 5432", log)


@pytest.mark.parametrize(
    ("resource_type", "rule", "missing"),
    [
        ("AWS::EC2::SecurityGroupIngress", "NetworkLoadBalancerSecurityGroup", "no ingress rule"),
        ("AWS::EC2::SecurityGroupEgress", "NetworkVpcLinkSecurityGroup", "no egress rule"),
    ],
)
def test_without_a_rule_the_vpc_link_does_not_reach_the_load_balancer(
    restored: Platform, resource_type: str, rule: str, missing: str
) -> None:
    # Given a template that lacks one of the two rules between VPC link and load balancer
    restored.update_stack(without(restored, resource_type, rule))
    time.sleep(DECISION_SECONDS)
    # When a request goes through the link, then it times out
    assert restored.api().pay("/process").status == 504
    # And the log says why, while routes without the link work
    log = restored.cloud.log_path.read_text()
    assert re.search(rf"VPC link \w+ can't reach \S+loadbalancer\S+ on port 443: {missing} of sg-", log)
    assert restored.api().pay("/validate").status == 200


def test_without_a_route_functions_reach_only_the_services_with_an_endpoint(restored: Platform) -> None:
    # Given a template without one private subnet's route to the NAT gateway
    restored.update_stack(without(restored, "AWS::EC2::Route", "NetworkVpcprivateSubnet1DefaultRoute"))
    time.sleep(DECISION_SECONDS)
    # When a function that has read nothing yet is called
    restored.end_environments()
    assert eventually(lambda: restored.api().pay("/validate").status == 503)
    # Then it reached neither its rules nor its secret, because its subnet has no route
    log = restored.cloud.log_path.read_text()
    assert re.search(r"function \S+validation\S* can't reach (ssm|secretsmanager): subnet subnet-\w+ has neither", log)
    assert not re.search(r"can't reach (dynamodb|s3):", log)


def test_a_deployment_fails_at_once_when_a_custom_resource_could_not_answer(platform: Platform) -> None:
    # Given a template whose functions have no way out of the VPC, and a migration to run
    template = platform.template()
    for id, resource in template["Resources"].items():
        if resource["Type"] == "AWS::EC2::SecurityGroup" and id.startswith("NetworkFunctions"):
            [rule] = resource["Properties"]["SecurityGroupEgress"]
            rule["CidrIp"] = "10.0.0.0/8"
        if resource["Type"] == "Custom::DatabaseSchema":
            resource["Properties"]["MigrationsHash"] = "changed"
    # When it is deployed
    with pytest.raises(Exception, match="ROLLBACK"):
        platform.update_stack(template)
    # Then the migration's resource has failed, and says which rule is missing
    events = platform.client("cloudformation").describe_stack_events(StackName=platform.outputs.stack_name)
    reasons = [
        each["ResourceStatusReason"]
        for each in events["StackEvents"]
        if each["ResourceStatus"] == "UPDATE_FAILED" and each["ResourceType"] == "Custom::DatabaseSchema"
    ]
    assert "can't reach s3: no egress rule of sg-" in reasons[0]
    # And after the roll-back the functions have their way out again
    assert platform.api().pay("/process").status == 201


def test_the_administrators_rotation_can_be_left_to_rds_and_taken_back(restored: Platform) -> None:
    # Given a stack that schedules the rotation of RDS's own secret
    secrets: Any = restored.client("secretsmanager")
    arn = restored.client("rds").describe_db_clusters()["DBClusters"][0]["MasterUserSecret"]["SecretArn"]
    assert secrets.describe_secret(SecretId=arn)["RotationRules"] == {"ScheduleExpression": "rate(30 days)"}
    # When it is deployed without that schedule, as with ``admin_rotation="rds"``
    restored.update_stack(without(restored, "AWS::SecretsManager::RotationSchedule", "DatabaseAdminRotation"))
    # Then RDS still owns the secret, and the fixture deploys the schedule again
    assert secrets.describe_secret(SecretId=arn)["Name"].startswith("rds!cluster-")


def test_a_fail_over_ends_connections_and_payments_recover(platform: Platform) -> None:
    # Given connected functions
    assert platform.api().pay("/validate").status == 200
    writer = _writer(platform)
    # When a person triggers a fail-over
    done = platform.run("localcloud", "failover", "dev", "--state", str(platform.cloud.folder.parent))
    # Then the reader has become the writer, after some seconds
    assert done.returncode == 0, done.stderr
    assert _writer(platform) != writer
    assert re.fullmatch(rf"dev: the database failed over in \d+ s, its writer is {_writer(platform)}\n", done.stdout)
    # And the functions connect again
    assert platform.api().pay("/validate").status == 200
    status = platform.run("localcloud", "status", "dev", "--state", str(platform.cloud.folder.parent))
    assert (status.returncode, status.stdout.splitlines()[1]) == (
        0,
        f"dev: database payment-dev available, writer {_writer(platform)}",
    )


def _writer(platform: Platform) -> str:
    rds: Any = platform.client("rds")
    [cluster] = rds.describe_db_clusters()["DBClusters"]
    [writer] = [each["DBInstanceIdentifier"] for each in cluster["DBClusterMembers"] if each["IsClusterWriter"]]
    return str(writer)
