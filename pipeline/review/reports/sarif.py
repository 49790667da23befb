"""The findings as SARIF 2.1.0, for code scanning: each finding at the line of Python that makes the construct."""

import hashlib
from typing import Any

from pipeline.review.findings import Finding, Findings
from pipeline.review.markers import TOOL
from pipeline.review.synthesis import APP

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render(findings: Findings) -> dict[str, Any]:
    """The SARIF log. Acknowledged findings are suppressed results, with their reasons."""
    known = {finding.key for finding in findings.unchanged}
    descriptions = {_rule_id(finding): finding.description for finding in findings.head}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": TOOL,
                        "rules": [
                            {"id": id, "shortDescription": {"text": text}} for id, text in sorted(descriptions.items())
                        ],
                    }
                },
                "results": [_result(finding, known=finding.key in known) for finding in findings.head],
            }
        ],
    }


def _result(finding: Finding, *, known: bool) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": _rule_id(finding),
        "level": "error",
        "message": {"text": f"{finding.description} ({finding.rule} at {finding.construct})"},
        "locations": [
            {
                "physicalLocation": {
                    # The app, if the trace does not tell the file.
                    "artifactLocation": {"uri": finding.file or APP, "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": finding.line or 1},
                },
                "logicalLocations": [{"fullyQualifiedName": finding.construct, "kind": "resource"}],
            }
        ],
        # GitHub reads only this fingerprint. Without it, an alert whose line moves would be a new alert.
        "partialFingerprints": {"primaryLocationLineHash": hashlib.sha256("@".join(finding.key).encode()).hexdigest()},
        "baselineState": "unchanged" if known else "new",
    }
    if finding.reason is not None:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": finding.reason}]
    return result


def _rule_id(finding: Finding) -> str:
    """The rule's name without the part that names the finding: code scanning lists rules."""
    return finding.rule.split("[")[0].split("::")[-1]
