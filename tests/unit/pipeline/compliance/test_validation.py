"""Three things fail a synthesis: a finding, an acknowledgement without a finding, and an expired acknowledgement."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import IConstruct

from pipeline.compliance.acknowledgements import Acknowledgement
from pipeline.compliance.validation import enforce

TODAY = date(2030, 6, 1)
TLS = "AwsSolutions::AwsSolutions-SNS3"
REST = (
    "PCI.DSS.321::PCI.DSS.321-SNSEncryptedKMS",
    "NIST.800.53.R5::NIST.800.53.R5-SNSEncryptedKMS",
    "PCI.DSS.401::PCI.DSS.401-3.5.1-EncryptedAtRest",
    "PCI.DSS.401::PCI.DSS.401-4.2.1-TopicTls",
    "PCI.DSS.401::PCI.DSS.401-10.7.2-NoticesHeard",
)
"""The other findings that the packs report for such a topic."""
TOPIC = "Platform/Topic/Resource"


def acknowledged(*findings: str, construct: str = TOPIC, expires: date = TODAY) -> Acknowledgement:
    return Acknowledgement(
        line=7,
        findings=findings,
        constructs=(construct,),
        reason="Only a test publishes to it.",
        owner="the tests",
        expires=expires,
    )


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    return (tmp_path / str(number) for number in range(9))


def synthesise(
    folder: Path, acknowledgements: Sequence[Acknowledgement], also: Callable[[cdk.App], None] = lambda app: None
) -> None:
    """Dev and staging, each with a topic that has no key and takes plain HTTP. ``also``: what else their code does."""
    app = cdk.App(
        outdir=str(folder),
        context={"aws:cdk:enable-path-metadata": True},
        tree_metadata=False,
        builtin_cloud_formation_validation=False,
    )
    for name in ("Dev", "Staging"):
        sns.Topic(cdk.Stack(cdk.Stage(app, name), "Platform"), "Topic")
    also(app)
    enforce(app, acknowledgements, today=TODAY)
    app.synth()


def failure(folders: Iterator[Path], *acknowledgements: Acknowledgement) -> str:
    with pytest.raises(RuntimeError) as failed:
        synthesise(next(folders), acknowledgements)
    return str(failed.value)


def test_an_unacknowledged_finding_fails_and_says_how_to_acknowledge_it(folders: Iterator[Path]) -> None:
    said = failure(folders, acknowledged(*REST))
    assert "The SNS Topic does not require publishers to use SSL" in said
    assert "Dev/Platform/Topic/Resource" in said
    assert f"Acknowledge with '{TLS}'" in said
    assert "KMS" not in said, "what is acknowledged is not complained of"


def test_acknowledged_findings_pass_in_every_environment(folders: Iterator[Path]) -> None:
    folder = next(folders)
    synthesise(folder, [acknowledged(TLS, *REST)])
    report = (folder / "validation-report.json").read_text()
    assert "Only a test publishes to it. (the tests, until 2030-06-01)" in report


def test_an_acknowledgement_of_some_environments_leaves_the_finding_in_the_others(folders: Iterator[Path]) -> None:
    only_dev = Acknowledgement(**{**acknowledged(TLS, *REST).__dict__, "environments": ("dev",)})
    said = failure(folders, only_dev)
    assert "Staging/Platform/Topic/Resource" in said
    assert "Dev/" not in said


def test_an_acknowledged_arn_means_the_stacks_own_account(folders: Iterator[Path]) -> None:
    # Given a policy with a wildcard in an ARN, which is acknowledged
    group = "arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:log-group:*"
    accepted = acknowledged(f"AwsSolutions::AwsSolutions-IAM5[Resource::{group}]", construct="Platform/Policy/Resource")

    def synthesise_in(account: str | None, owner: str | None = None) -> None:
        app = cdk.App(outdir=str(next(folders)), tree_metadata=False, builtin_cloud_formation_validation=False)
        place = cdk.Environment(account=account, region="eu-west-1" if account else None)
        stack = cdk.Stack(cdk.Stage(app, "Dev"), "Platform", env=place)
        arn = stack.format_arn(service="logs", resource="log-group:*", account=owner)
        allowed = iam.PolicyStatement(actions=["logs:PutLogEvents"], resources=[arn])
        iam.ManagedPolicy(stack, "Policy", statements=[allowed])
        enforce(app, [accepted], today=TODAY)
        app.synth()

    # Then the acknowledgement counts, with or without an account in the settings
    synthesise_in(None)
    synthesise_in("111111111111")
    # But it does not count for logs of another account
    with pytest.raises(RuntimeError, match=r"IAM5\[Resource::arn:<AWS::Partition>:logs:<AWS::Region>:222222222222:"):
        synthesise_in("111111111111", owner="222222222222")


def test_an_acknowledgement_without_a_finding_fails(folders: Iterator[Path]) -> None:
    said = failure(folders, acknowledged(TLS, *REST), acknowledged(TLS, construct="Platform/Gone/Resource"))
    assert f"acknowledgements.toml:7: {TLS} is not found here any more: remove it" in said
    assert "Dev/Platform/Gone/Resource" in said


def test_an_acknowledgement_about_a_part_counts_only_where_the_part_exists(folders: Iterator[Path]) -> None:
    # Given platforms with a topic, and acknowledgements about it and about a part that no platform has
    topic, gone = (
        Acknowledgement(**{**acknowledged(*findings, construct=construct).__dict__, "part": f"Platform/{part}"})
        for part, findings, construct in (("Topic", (TLS, *REST), TOPIC), ("Gone", (TLS,), "Platform/Gone/Resource"))
    )
    # Then the second acknowledgement is not stale
    synthesise(next(folders), [topic, gone])
    # And the first one is stale if it matches no finding
    stale = Acknowledgement(**{**topic.__dict__, "findings": (*topic.findings, "AwsSolutions::AwsSolutions-SNS2")})
    assert "AwsSolutions-SNS2 is not found here any more" in failure(folders, stale)


def test_an_acknowledgement_of_a_stack_outside_the_app_is_not_stale(folders: Iterator[Path]) -> None:
    # This happens when one environment is synthesised alone, without the pipeline.
    synthesise(next(folders), [acknowledged(TLS, *REST), acknowledged(TLS, construct="payment-pipeline/X")])


def test_acknowledgements_of_checkov_are_left_to_checkov(folders: Iterator[Path]) -> None:
    synthesise(
        next(folders), [acknowledged(TLS, *REST), acknowledged("checkov::CKV_AWS_26", expires=date(2030, 5, 31))]
    )


def test_an_acknowledgement_past_its_date_fails(folders: Iterator[Path]) -> None:
    said = failure(folders, acknowledged(TLS, *REST, expires=date(2030, 5, 31)))
    assert "expired on 2030-05-31: the tests must look at it again" in said


def test_an_acknowledgement_for_more_than_a_year_fails(folders: Iterator[Path]) -> None:
    longest = TODAY + timedelta(days=366)
    synthesise(next(folders), [acknowledged(TLS, *REST, expires=longest)])
    said = failure(folders, acknowledged(TLS, *REST, expires=longest + timedelta(days=1)))
    assert "lasts until 2031-06-03: nobody may accept a finding for more than a year" in said


@pytest.mark.parametrize("at", ["Platform/Topic/Resource", "Platform", ""])
def test_an_acknowledgement_in_code_does_not_count(folders: Iterator[Path], at: str) -> None:
    # Given a construct that accepts its finding itself, or one around it that does
    def accept(app: cdk.App) -> None:
        for stage in ("Dev", "Staging"):
            construct: IConstruct = app
            for id in [stage, *at.split("/")] if at else []:
                construct = construct.node.find_child(id)
            cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=TLS, reason="Trust me, it is fine."))

    # Then the synthesis fails, because the table has no such entry
    with pytest.raises(RuntimeError, match=f"{TLS} is accepted in code, without owner and date"):
        synthesise(next(folders), [acknowledged(*REST)], accept)
    # And with an entry it does not
    synthesise(next(folders), [acknowledged(TLS, *REST)], accept)


def test_a_generic_construct_of_an_aws_type_fails_because_cdk_nag_cannot_see_it(tmp_path: Path) -> None:
    # Given an app with a queue that is made by the generic construct
    app = cdk.App(outdir=str(tmp_path), tree_metadata=False, builtin_cloud_formation_validation=False)
    cdk.CfnResource(cdk.Stack(app, "Stack"), "Queue", type="AWS::SQS::Queue")
    enforce(app, [], today=TODAY)
    # When the app is synthesised
    with pytest.raises(RuntimeError) as failed:
        app.synth()
    # Then it fails, and nothing offers to acknowledge it
    assert "A generic construct makes AWS::SQS::Queue, so cdk-nag does not see it" in str(failed.value)
    assert "Acknowledge with 'TypedResources" not in str(failed.value)
