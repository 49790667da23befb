"""Main's rules over the synthesised templates as data, and over those of a hostile pull request."""

import json
import shutil
from pathlib import Path
from typing import Any

from pipeline.assembly import all_stacks
from pipeline.compliance import nag_of_templates
from pipeline.compliance.acknowledgements import load
from pipeline.review.judge import judge
from pipeline.review.reports import ASSEMBLY, keep_assembly
from tests.infrastructure.promotion import promotion

NAG = {"AwsSolutions", "NIST.800.53.R5", "PCI.DSS.321"}


def test_cdk_nag_finds_in_a_template_what_it_finds_in_the_code_that_makes_it() -> None:
    # Given the findings of the synthesis
    packs = [each for each in promotion().read("validation-report.json")["pluginReports"] if each["pluginName"] in NAG]
    of_code = {
        (f"{pack['pluginName']}::{violation['ruleName']}", construct["constructPath"])
        for pack in packs
        for violation in [*pack["violations"], *pack.get("suppressedViolations", [])]
        for construct in violation["violatingConstructs"]
    }
    # Then the data has them all
    of_data = nag_of_templates.findings(all_stacks(promotion().folder))
    assert len(of_code) > 100
    assert of_code - of_data == set()
    # And, because types are known from templates, those of CDK's own generic constructs
    assert {path for _, path in of_data - of_code} <= {
        "payment-pipeline/Custom::S3AutoDeleteObjectsCustomResourceProvider/Handler",
        "payment-pipeline/Custom::S3AutoDeleteObjectsCustomResourceProvider/Role",
        *(f"{stage}/Platform/Network/Vpc/Resource" for stage in ("Dev", "Staging", "Prod")),
    }


def test_a_pull_request_that_opens_the_database_and_accepts_it_by_itself_is_not_passed(tmp_path: Path) -> None:
    # Given prod's templates and the pipeline's (those of the other environments only take time)
    base = Path(shutil.copytree(promotion().folder, tmp_path / "base", ignore=shutil.ignore_patterns("asset.*")))
    manifest = json.loads((base / "manifest.json").read_text())
    del manifest["artifacts"]["assembly-Dev"], manifest["artifacts"]["assembly-Staging"]
    (base / "manifest.json").write_text(json.dumps(manifest))
    # And what a review keeps of a change that opens prod's database, hides it from the tools, and drops the approval
    assembly = Path(shutil.copytree(base, tmp_path / "cdk.out"))
    [file] = (assembly / "assembly-Prod").glob("*.template.json")
    prod = json.loads(file.read_text())
    opened = next(each for each in prod["Resources"].values() if each["Type"] == "AWS::EC2::SecurityGroup")
    opened["Properties"]["SecurityGroupIngress"] = [{"CidrIp": "0.0.0.0/0", "IpProtocol": "-1"}]
    opened["Metadata"]["cdk_nag"] = {"rules_to_suppress": [{"id": "AwsSolutions-EC23", "reason": "I say so, trust me"}]}
    file.write_text(json.dumps(prod))
    pipeline: dict[str, Any] = json.loads((assembly / "payment-pipeline.template.json").read_text())
    [definition] = [each for each in pipeline["Resources"].values() if each["Type"] == "AWS::CodePipeline::Pipeline"]
    stages = definition["Properties"]["Stages"]
    stages[:] = [each for each in stages if each["Name"] != "ApprovePipeline"]
    (assembly / "payment-pipeline.template.json").write_text(json.dumps(pipeline))
    keep_assembly(assembly, tmp_path)
    # When main's rules judge it
    reasons = judge(tmp_path / ASSEMBLY, base, load())
    # Then all of it is named, and nothing else
    path = opened["Metadata"]["aws:cdk:path"]
    said = {each for each in reasons if each.startswith("new finding")}
    assert f"new finding: AwsSolutions::AwsSolutions-EC23 at {path}" in said
    assert f"new finding: PCI.DSS.401::PCI.DSS.401-1.3.1-NoOpenIngress at {path}" in said
    assert all(path in each for each in said)
    wide = [each for each in reasons if each not in said]
    assert [each for each in wide if "open to everyone" in each]
    assert [each for each in wide if "the pipeline itself changes: changed AWS::CodePipeline::Pipeline" in each]
    assert all(each.startswith(("far-reaching: ", "the pipeline itself changes: ")) for each in wide)
