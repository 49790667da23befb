"""A synthesis as the CDK command line starts it: findings are told in our words, and fail it."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sns as sns

import pipeline_app
from environments import DEV, PIPELINE, PROD, sharing
from pipeline.compliance.validation import enforce


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Synthesises an app with a topic that has no key, or with nothing in it."""

    def synthesise(*, with_topic: bool) -> int:
        def create(*, context: dict[str, Any]) -> cdk.App:
            made = cdk.App(
                outdir=str(tmp_path),
                context={**context, "aws:cdk:enable-path-metadata": True},
                builtin_cloud_formation_validation=False,
            )
            stack = cdk.Stack(cdk.Stage(made, "Dev"), "Platform")
            if with_topic:
                sns.Topic(stack, "Topic")
            enforce(made, [], today=date(2030, 6, 1))
            return made

        monkeypatch.setattr(pipeline_app, "create_app", create)
        monkeypatch.setenv(pipeline_app.TRACES, "1")  # as in its second run
        return pipeline_app.main()

    return synthesise


def test_a_finding_fails_and_is_told_with_property_and_command(app: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert app(with_topic=True) == 1
    said = capfd.readouterr().err
    assert "✘ Nobody hears what the topic publishes  (dev)\n" in said
    assert "    AWS::SNS::Topic Platform/Topic/Resource\n" in said
    assert "      KmsMasterKeyId = nothing\n" in said
    assert "python -m pipeline.compliance acknowledge --construct Platform/Topic/Resource --finding " in said
    assert said.count("PCI.DSS.321::PCI.DSS.321-SNSEncryptedKMS: ") == 1
    assert "Acknowledge with" not in said, "CDK's own text would repeat it"


def test_without_findings_it_only_warns(app: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert app(with_topic=False) == 0
    [warning] = capfd.readouterr().err.splitlines()
    assert warning.startswith("Warning: prod has no AWS account of its own")


def test_an_environment_behind_an_approval_should_have_an_account_of_its_own() -> None:
    here = replace(PIPELINE, account="111111111111")
    alone, shared = replace(PROD, account="222222222222"), replace(PROD, account="111111111111")
    # It has one
    assert sharing([DEV, alone], here) == []
    # It shares the pipeline's, that of another environment, or none is named
    for order in ([shared], [replace(DEV, account="222222222222"), alone], [PROD]):
        [warning] = sharing(order, here)
        assert "prod has no AWS account of its own" in warning
        # And its settings may demand one
        with pytest.raises(ValueError, match="own_account demands one"):
            sharing([*order[:-1], replace(order[-1], own_account=True)], here)
    # Environments without an approval may share, unless they demand an account, too
    assert sharing([replace(DEV, account="111111111111")], here) == []
    with pytest.raises(ValueError, match="dev has no AWS account of its own"):
        sharing([replace(DEV, own_account=True)], here)
