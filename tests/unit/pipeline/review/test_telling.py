"""A failed synthesis tells each rule once, with resource, property, value, the line of the change, and what to do."""

import json
import shlex
import subprocess
from datetime import date
from pathlib import Path

import pytest

from pipeline.compliance.__main__ import main
from pipeline.compliance.acknowledgements import load
from pipeline.review.findings import Finding, changed_lines
from pipeline.review.findings.change import place
from pipeline.review.findings.telling import tell

OPEN = [{"CidrIp": "0.0.0.0/0", "Description": "For a moment", "FromPort": 22, "IpProtocol": "tcp", "ToPort": 22}]
GROUP = "Platform/Network/DatabaseGroup/Resource"
OURS, NAGS = "PCI.DSS.401::PCI.DSS.401-1.3.1-NoOpenIngress", "AwsSolutions::AwsSolutions-EC23"


@pytest.fixture
def assembly(tmp_path: Path) -> Path:
    """Dev and staging with a group that lets everybody in."""
    artifacts = {}
    for stage in ("Dev", "Staging"):
        resources = {
            name: {
                "Type": "AWS::EC2::SecurityGroup",
                "Properties": {"SecurityGroupIngress": OPEN},
                "Metadata": {"aws:cdk:path": f"{stage}/Platform/Network/{name}Group/Resource"},
            }
            for name in ("Database", "Balancer")
        }
        (tmp_path / f"{stage}.json").write_text(json.dumps({"Resources": resources}))
        artifacts[stage] = {"type": "aws:cloudformation:stack", "properties": {"templateFile": f"{stage}.json"}}
    (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))
    return tmp_path


def ingress(construct: str, reason: str | None = None) -> list[Finding]:
    """What two packs say of one open group."""
    return [
        Finding(
            rule=NAGS,
            construct=construct,
            description="The Security Group allows for 0.0.0.0/0 inbound access - (Control IDs: AC-4, SC-7).",
            reason=reason,
            file="stages/network.py",
            line=93,
        ),
        Finding(
            rule=OURS,
            construct=construct,
            description="Any address may enter (requirement 1.3.1)",
            reason=reason,
            properties=("SecurityGroupIngress",),
            file="stages/network.py",
            line=93,
        ),
    ]


def test_each_rule_is_told_once_with_property_value_and_line(assembly: Path) -> None:
    balancer = GROUP.replace("Database", "Balancer")
    found = [each for stage in ("Staging", "Dev") for path in (GROUP, balancer) for each in ingress(f"{stage}/{path}")]
    said = tell(found, assembly)
    assert said.splitlines()[:10] == [
        "The synthesis failed: 1 fault in the constructs or acknowledgements.",
        "",
        "✘ Any address may enter  (dev, staging)",
        f"    AWS::EC2::SecurityGroup {GROUP}",
        '      SecurityGroupIngress = [{"CidrIp": "0.0.0.0/0", "FromPort": 22, "IpProtocol": "tcp", "ToPort": 22}]',
        "      stages/network.py:93",
        f"    AWS::EC2::SecurityGroup {balancer}",
        '      SecurityGroupIngress = [{"CidrIp": "0.0.0.0/0", "FromPort": 22, "IpProtocol": "tcp", "ToPort": 22}]',
        "      stages/network.py:93",
        f"    {OURS}: Any address may enter",
    ]
    assert said.splitlines()[10] == f"    {NAGS}: The Security Group allows for 0.0.0.0/0 inbound access"
    assert said.count("Any address may enter") == 2, "the headline, and beside the rule"


def test_the_command_that_it_prints_writes_the_entry(assembly: Path, tmp_path: Path) -> None:
    table = tmp_path / "acknowledgements.toml"
    table.write_text("owners = ['platform']")
    command = tell(ingress(f"Dev/{GROUP}"), assembly).splitlines()[-1].partition("accept it: ")[2]
    assert command.startswith("python -m pipeline.compliance acknowledge ")
    terms = ["--reason", "A bastion that is gone tomorrow.", "--owner", "platform", "--expires", "2030-07-01"]
    assert main([*shlex.split(command)[3:], *terms], table=table, today=date(2030, 6, 1)) == 0
    [entry] = load(table)
    assert (entry.constructs, set(entry.findings), entry.environments) == ((GROUP,), {OURS, NAGS}, ("dev",))


def test_a_name_of_the_environment_in_a_rule_becomes_the_tables_placeholder(assembly: Path) -> None:
    wild = "AwsSolutions::AwsSolutions-IAM5[Resource::payment-device-{}/*]"
    found = [
        Finding(rule=wild.format(name), construct=f"{name.capitalize()}/Platform/Role", description="Wildcard.")
        for name in ("dev", "staging", "prod")
    ]
    said = tell(found, assembly)
    assert "1 fault in" in said
    assert f"--finding '{wild.format('{environment}')}'" in said
    assert "--env" not in said


def test_acknowledged_findings_are_not_told_and_stale_acknowledgements_are(assembly: Path) -> None:
    assert tell(ingress(f"Dev/{GROUP}", reason="Needed."), assembly) == ""
    stale = Finding(
        rule="Acknowledgements::Unused[x]", construct="Dev/Platform/Gone", description="acknowledgements.toml:7: unused"
    )
    assert tell([stale, *ingress(f"Dev/{GROUP}", reason="Needed.")], assembly).endswith(
        "\n\n✘ acknowledgements.toml:7: unused"
    )


def test_the_line_is_that_of_the_change_and_not_of_the_helper() -> None:
    frames = [("stages/helper.py", 20), ("stages/network.py", 50), ("stages/network.py", 60), ("app.py", 9)]
    assert place(frames, {}) == ("stages/helper.py", 20)
    assert place(frames, {"stages/network.py": frozenset({60, 61}), "app.py": frozenset({9})}) == (
        "stages/network.py",
        60,
    )
    assert place(frames, {"stages/network.py": frozenset({12, 53})}) == ("stages/network.py", 53)
    assert place([], {"app.py": frozenset({9})}) is None


def test_changed_lines_are_those_of_the_commit(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=T", "-c", "user.email=t@example.com", *arguments], cwd=tmp_path, check=True
        )

    git("init", "--quiet")
    file = tmp_path / "a.py"
    file.write_text("one\ntwo\nthree\nfour\n")
    git("add", ".")
    git("commit", "--quiet", "--message", "First")
    file.write_text("one\nTWO\nthree\n")
    assert changed_lines("HEAD", folder=tmp_path) == {"a.py": {2, 3}}
    git("commit", "--quiet", "--all", "--message", "Second")
    assert changed_lines("HEAD~1", "HEAD", folder=tmp_path / "nowhere", repository=tmp_path / ".git") == {}
    assert changed_lines("HEAD~1", "HEAD", folder=tmp_path.parent, repository=tmp_path / ".git") == {"a.py": {2, 3}}
    assert changed_lines("HEAD~9", folder=tmp_path) == {}
