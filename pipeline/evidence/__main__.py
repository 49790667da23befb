"""The evidence of a release.

    python -m pipeline.evidence collect --env prod      write the bundle at the end of a release; engines run this step
    python -m pipeline.evidence collect --env prod --failed   the same of a release whose gate or shift has failed
    python -m pipeline.evidence record --tests ...      keep the results of tests and audit; the step Synth runs it
    python -m pipeline.evidence verify FILE             check later that the bundle is unchanged

Exit codes: 0 done; 1 no bundle was written, or the bundle is not trustworthy (the message says what is missing or
wrong); 2 usage.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any

from environments import PIPELINE, Environment
from pipeline.approver import is_author
from pipeline.arguments import environment_name
from pipeline.aws import session
from pipeline.evidence import checks, provenance, release, sbom
from pipeline.evidence.bundle import pack
from pipeline.evidence.codepipeline import ASSEMBLY, PipelineExecution
from pipeline.evidence.errors import EvidenceError, Mismatch
from pipeline.evidence.local import LocalRun
from pipeline.evidence.promotion import PromotionContext
from pipeline.evidence.reports import GATE_REPORTS
from pipeline.inspection import Refused, digest
from pipeline.output import say
from reporting.text import one_line

AUTHOR = {
    True: "WHO MADE THE COMMIT",
    False: "by e-mail not who made the commit",
    None: "unknown whether they made the commit",
}


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2


def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        say(arguments.run(arguments))
    except (EvidenceError, Mismatch) as error:
        say(f"{arguments.subject(arguments)}: {one_line(str(error))}", sys.stderr)
        return ExitCode.FAILED
    return ExitCode.DONE


def collect(settings: Environment, promotion: PromotionContext, *, now: datetime, failed: bool) -> str:
    """Write and keep the bundle of an environment's release. Returns its location. Raises ``EvidenceError``."""
    name = settings.name
    folders = [Path("reports") / name, GATE_REPORTS]
    found = release.read(name, assembly=promotion.assembly, reports=folders, failed=failed)
    if settings.requires_approval and not found.approvals:
        raise EvidenceError(f"{name} requires an approval, and the plan has none")
    assembly = _inspected(promotion)
    artefact = sbom.artefact(promotion.assembly, found.templates)
    digest_of_artefact, source = sbom.digest(artefact), promotion.source()
    facts = {
        "environment": name,
        "commit": promotion.commit,
        "assembly": assembly,
        "artefact": digest_of_artefact,
        "promotion": {"engine": promotion.engine, "id": promotion.id},
        "created": now.isoformat(timespec="seconds"),
        "approvals": [
            {**asdict(each), "is_author": is_author(each.by, [source.author, source.committer], PIPELINE.addresses)}
            for each in (promotion.approval(found.stage, step) for step in found.approvals)
        ],
        **asdict(found.conclusions),
        "acknowledged_findings": found.findings,
        "source": asdict(source),
    }
    bill = sbom.write(artefact, commit=promotion.commit, sha256=digest_of_artefact, now=now)
    done = checks.read(promotion.assembly, commit=promotion.commit)
    files = {**found.files, sbom.FILE: bill, checks.FILE: done}
    files[provenance.FILE] = provenance.write(provenance.Release.of(facts, files))
    file = f"{name}-{now:%Y%m%dT%H%M%SZ}-{promotion.commit[:12]}.zip"
    return promotion.keep(name, file, pack(facts, files, promotion.signer))


def _inspected(promotion: PromotionContext) -> str:
    """The digest of the assembly. Raises ``EvidenceError`` if it is not what was inspected and approved."""
    try:
        found = digest(promotion.assembly)
    except (Refused, OSError) as error:
        raise EvidenceError(f"the cloud assembly can't be read: {error}") from error
    if promotion.assembly_digest not in (None, found):
        raise EvidenceError(f"the cloud assembly is not the one that was approved: {promotion.assembly_digest}")
    return found


def current_promotion(environ: Mapping[str, str]) -> PromotionContext:
    """The promotion that runs this command as a step. Raises ``EvidenceError`` outside a promotion."""
    if folder := environ.get("RUN_FOLDER"):
        return LocalRun(Path(folder))
    if "PIPELINE_EXECUTION_ID" in environ:
        return PipelineExecution(session(PIPELINE.region), environ)
    raise EvidenceError("no promotion is under way: a pipeline sets PIPELINE_EXECUTION_ID, a local run RUN_FOLDER")


def _collect(arguments: argparse.Namespace) -> str:
    where = collect(arguments.env, current_promotion(os.environ), now=datetime.now(UTC), failed=arguments.failed)
    return f"{detail(arguments)}evidence {arguments.env.name}: {where}"


def detail(arguments: argparse.Namespace) -> str:
    """The indentation of a detail: the conclusion of a failed step is why it failed, not where its evidence is."""
    return "  " if arguments.failed else ""


def _verify(arguments: argparse.Namespace) -> str:
    # Imported here, because the engines' steps only collect and do not install this library.
    from pipeline.evidence.container import LIMIT
    from pipeline.evidence.verify import verify

    try:
        with arguments.file.open("rb") as file:
            bundle = file.read(LIMIT + 1)
        manifest, content = verify(bundle, arguments.key.read_bytes() if arguments.key else None)
    except OSError as error:
        raise Mismatch(f"{error.filename} can't be read: {error.strerror}") from error
    lines = [*_summary(manifest), *_checked(manifest, content), _signed(manifest["signature"])]
    return "\n  ".join([f"{arguments.file}: whole, {len(manifest['files'])} files", *map(one_line, lines)])


def _record(arguments: argparse.Namespace) -> str:
    try:
        commit = os.environ["CODEBUILD_RESOLVED_SOURCE_VERSION"]
    except KeyError as missing:
        raise EvidenceError(f"the environment variable {missing.args[0]} is not set") from None
    done = checks.write(
        ASSEMBLY,
        commit=commit,
        tests=arguments.tests,
        advisories=arguments.advisories,
        passed=arguments.passed,
        now=datetime.now(UTC),
    )
    return "\n".join(checks.summary(done))


def _checked(manifest: Mapping[str, Any], content: Mapping[str, bytes]) -> list[str]:
    """What the commit was checked with, and who made it, as far as the bundle knows."""
    if manifest["format"] == 1:
        return ["checked   unknown: bundles of format 1 do not say it"]
    source = manifest["source"]
    return [
        *(f"{name:9} {source.get(name) or 'unknown'}" for name in ("author", "committer", "signature")),
        f"started   by {source.get('started') or 'unknown'}",
        *checks.summary(json.loads(content[checks.FILE])),
    ]


def _signed(signature: Mapping[str, str] | None) -> str:
    return (
        f"signed    with {signature['key']}" if signature else "unsigned: anyone who can write this file can forge it"
    )


def _summary(manifest: Mapping[str, Any]) -> list[str]:
    shifted, traffic = manifest["release"], manifest.get("traffic")
    return [
        f"release   {manifest['environment']}, commit {manifest['commit']}, {manifest['created']}",
        f"promotion {manifest['promotion']['engine']} {manifest['promotion']['id']}",
        *(f"{name:9} {manifest[name]}" for name in ("assembly", "artefact") if manifest.get(name)),
        *(
            f"approved  {each['step']} by {each['by']}, {each['at']}, {AUTHOR[each.get('is_author')]}"
            for each in manifest["approvals"]
        ),
        *([f"FAILED    {manifest['failure']}"] if manifest.get("failure") else []),
        f"gate      {manifest['gate']}",
        f"shift     {manifest['shift']}",
        *([f"traffic   {', '.join(f'{n} {what}' for what, n in traffic.items())}"] if traffic else []),
        *([f"          release {shifted['id']}, commit {shifted['commit'] or 'unknown'}"] if shifted else []),
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.evidence", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("collect", help="write the bundle of the release that has just finished")
    command.add_argument("--env", required=True, type=environment_name, help="dev, staging, prod")
    command.add_argument("--failed", action="store_true", help="gate or shift has failed: reports may be missing")
    command.set_defaults(
        run=_collect, subject=lambda arguments: f"{detail(arguments)}no evidence of {arguments.env.name}"
    )
    command = commands.add_parser("record", help="keep what the synthesis was checked with in the assembly")
    command.add_argument("--tests", required=True, type=Path, metavar="JUNIT", help="pytest's report")
    command.add_argument("--advisories", required=True, type=Path, metavar="JSON", help="the audit's report")
    command.add_argument(
        "--passed", action="append", default=[], choices=checks.NAMES, help="a check that ended well; may be repeated"
    )
    command.set_defaults(run=_record, subject=lambda _: "no record of the checks")
    command = commands.add_parser("verify", help="check a bundle, file by file")
    command.add_argument("file", type=Path, metavar="FILE")
    command.add_argument("--key", type=Path, help="public key (DER) of the signature")
    command.set_defaults(run=_verify, subject=lambda arguments: arguments.file)
    return parser


if __name__ == "__main__":
    sys.exit(main())
