"""Judge the templates of a change as data, by the rules, the table and the code of this folder.

A review runs the code of a change, and that code can alter what the review says. This command runs none of it. GitHub
runs it from the main branch, over the templates that the change's own review has left. So a change can alter the
judgement only by other templates than the ones it deploys: docs/threat-model.md.

    python -m pipeline.review.judge BASE                in GitHub's workflow: judge the run that has ended
    python -m pipeline.review.judge BASE --head DIR     judge an assembly on this machine

BASE is the assembly of this folder (`make synth`). Each line of the output is a reason why a code owner must look.
"""

import argparse
import io
import json
import os
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.assembly import StackArtifact, all_stacks
from pipeline.compliance import checkov, nag_of_templates, pci_dss_4
from pipeline.compliance.acknowledgements import Acknowledgement, claims_about, load
from pipeline.compliance.template_pack import Template
from pipeline.inspection import unique
from pipeline.output import say
from pipeline.review import NotCompared, publish, templates
from pipeline.review.github import Refused
from pipeline.review.reports import ASSEMBLY, DATA
from pipeline.review.templates import stack
from pipeline.review.templates.changes import Section
from pipeline.review.templates.stack import Stack
from reporting.text import one_line

OUTPUT = "judgement"
"""The output of GitHub's step: the reasons as a JSON list of texts."""
TRANSFORM = re.compile(r'"(Transform|Fn::Transform|Fn::ForEach)(::\w+)?"\s*:')
"""In a template: macros, and files that CloudFormation includes."""
DELIVERY = ("AWS::CodePipeline::Pipeline", "AWS::CodeBuild::Project")
"""The stages and approvals, and the commands of each step, the inspection's among them."""
MOST_FILES, MOST_REASONS, LONGEST_REASON = 200, 100, 300
UNREADABLE = (
    ArithmeticError, AttributeError, KeyError, OSError, RecursionError, RuntimeError, TypeError, ValueError,
    zipfile.BadZipFile, checkov.NotScanned, NotCompared,
)  # fmt: skip
"""What the readers of a forged template can raise. Those of CDK's JavaScript are RuntimeErrors."""
Keys = set[tuple[str, str]]
"""Findings: long id and path of the construct."""


class ExitCode(IntEnum):
    PASSED = 0
    MUST_BE_APPROVED = 1
    NOT_JUDGED = 2


def judge(head: Path, base: Path, acknowledgements: Sequence[Acknowledgement]) -> list[str]:
    """Why a code owner must look at ``head``, whose folder holds manifests and templates only; empty if nobody must.

    Raises ``NotCompared`` if ``base`` can't be read.
    """
    try:
        known, before = _findings(base), stack.read(base)
    except UNREADABLE as error:
        raise NotCompared(f"the base can't be judged: {type(error).__name__}: {error}") from error
    try:
        new = _findings(head) - known - _accepted(head, acknowledgements)
        found = [f"new finding: {rule} at {path}" for rule, path in sorted(new)]
        return [*found, *_unseen(head, base), *_changes(before, stack.read(head))]
    except UNREADABLE as error:
        return [f"the templates can't be judged: {type(error).__name__}: {error}"]


def _unseen(head: Path, base: Path) -> Iterator[str]:
    """What only CloudFormation would see."""
    for name in sorted(_nested(head) - _nested(base)):
        yield f"the template {name} is of a nested stack, which only some rules see"
    for each in _stacks(head):
        if TRANSFORM.search(each.template_file.read_text()):
            yield f"the template of {each.path} is transformed when it is deployed, and no rule sees what it becomes"


def _changes(before: Mapping[str, Stack], after: Mapping[str, Stack]) -> Iterator[str]:
    for path in sorted(before.keys() - after.keys()):
        yield f"the stack {path} is gone"
    for path in sorted(after.keys() - before.keys()):
        yield f"the stack {path} is new, and nothing to compare it with"
    for entry in templates.condense(templates.compare(before, after)):
        if entry.type in DELIVERY:
            yield f"the pipeline itself changes: {entry.action} {entry.type} {', '.join(entry.constructs)}"
        elif entry.section is Section.SECURITY and entry.alarming:
            details = "; ".join(each.text for each in entry.details if each.alarming)
            yield f"far-reaching: {entry.action} {entry.type} {', '.join(entry.constructs)}: {details}"


def _accepted(assembly: Path, acknowledgements: Sequence[Acknowledgement]) -> Keys:
    """The findings that the table accepts. Acknowledgements are for paths, so each must be the path of one resource."""
    paths: list[str] = []
    for each in _stacks(assembly):
        for resource in Template(json.loads(each.template_file.read_bytes(), object_pairs_hook=unique)).resources:
            if not resource.construct_path.startswith(f"{each.path}/"):
                raise ValueError(f"{resource.id} of {each.path} calls itself {resource.construct_path}")
            paths.append(resource.construct_path)
    if twice := [path for path, times in Counter(paths).items() if times > 1]:
        raise ValueError(f"two resources are called {twice[0]}")
    return {(each.finding, each.path) for each in claims_about(acknowledgements, paths)}


def _stacks(assembly: Path) -> list[StackArtifact]:
    found = list(all_stacks(assembly))
    for each in found:
        if not DATA.fullmatch(str(each.template_file.relative_to(assembly))):
            raise ValueError(f"the template of {each.path} is {each.template_file}")
    if len({each.path for each in found}) < len(found):
        raise ValueError("two stacks have one path")
    return found


def _nested(assembly: Path) -> set[str]:
    return {str(file.relative_to(assembly)) for file in assembly.rglob("*.nested.template.json")}


def _findings(assembly: Path) -> Keys:
    pack = pci_dss_4.pack()
    own = {
        (pack.long_id(rule), resource.construct_path)
        for each in _stacks(assembly)
        for rule, resource, _ in pack.broken(each.template(), each.template_file.parent, environment=each.environment)
    }
    scanned = {each.key for each in checkov.scan(checkov.constructs_of(assembly))}
    return own | scanned | nag_of_templates.findings(_stacks(assembly))


def unpack(archive: bytes, folder: Path) -> None:
    """Write the manifests and templates of a review's ``archive`` into ``folder``. A stranger may have made it.

    Raises ``NotCompared``.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            names = [name for name in packed.namelist() if name.startswith(f"{ASSEMBLY}/")]
            if len(names) > MOST_FILES or len({*names}) < len(names):
                raise ValueError("it has too many files, or two of one name")
            for name in names:
                inside = name.removeprefix(f"{ASSEMBLY}/")
                if not DATA.fullmatch(inside):
                    raise ValueError(f"{inside!r} is neither a manifest nor a template")
                file = folder / inside
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(publish.read(packed, name))
    except publish.UNREADABLE as error:
        raise NotCompared(f"the review left no assembly: {error}") from error


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        with TemporaryDirectory(prefix="judge-") as folder:
            head = options.head or Path(folder)
            if not options.head:
                unpack(publish.archive_of_run(), head)
            reasons = judge(head, options.base, load())
    except (NotCompared, publish.NoReport, publish.NotOnGitHub, Refused, ValueError, OSError) as error:
        say(f"judge: {one_line(str(error))}", sys.stderr)
        return ExitCode.NOT_JUDGED
    for reason in reasons:
        say(one_line(reason))  # a line that begins with :: would command GitHub's runner
    if file := os.environ.get("GITHUB_OUTPUT"):
        shown = [re.sub("[^ -~]", "?", each)[:LONGEST_REASON] for each in reasons[:MOST_REASONS]]
        with open(file, "a") as output:
            output.write(f"{OUTPUT}={json.dumps(shown)}\n")
        return ExitCode.PASSED  # the job that has the right to write says what it means
    return ExitCode.MUST_BE_APPROVED if reasons else ExitCode.PASSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.review.judge",
        description=__doc__,
        epilog="Exit codes: 0 nobody must look, or the reasons are in GITHUB_OUTPUT; 1 a code owner must approve;"
        " 2 nothing could be judged, or usage.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("base", metavar="BASE", type=Path, help="the assembly of this folder, such as cdk.out")
    parser.add_argument("--head", metavar="DIR", type=Path, help="the assembly to judge")
    return parser


if __name__ == "__main__":
    sys.exit(main())
