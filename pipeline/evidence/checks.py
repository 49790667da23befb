"""What the synthesis of a release was checked with beside the rules: unit tests, cfn-lint, checkov, advisories.

The step ``Synth`` on AWS writes it into the assembly, so that whoever approves the assembly's digest approves it, too.
A promotion on one machine only synthesises (decision 0012). What was not done stands in the evidence as not done.

The shape of ``checks.json``; ``result`` is one of ``RESULTS``, and tests and advisories have more fields::

    {"commit", "at", "checks": {NAME: {"result", "said"}}}
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pipeline.evidence.errors import EvidenceError, Mismatch

FILE = "checks.json"
TESTS, ADVISORIES = "unit tests", "advisories"
NAMES = (TESTS, "cfn-lint", "checkov", ADVISORIES)
PASSED, FAILED, NOT_DONE = RESULTS = ("passed", "failed", "not done")
NOTHING = "the synthesis of this promotion left no result"


def write(
    assembly: Path, *, commit: str, tests: Path, advisories: Path, passed: Iterable[str], now: datetime
) -> dict[str, Any]:
    """Put the results into ``assembly``, and return them.

    ``tests``: pytest's JUnit file. ``advisories``: the report of ``pipeline.compliance.advisories``; it may be missing.
    ``passed``: checks that would have ended the step. Raises ``EvidenceError`` for a report that can't be read.
    """
    try:
        done = {
            TESTS: _tested(tests),
            **{name: {"result": PASSED, "said": "nothing found that is not accepted"} for name in passed},
            ADVISORIES: json.loads(advisories.read_text()) if advisories.exists() else None,
        }
        document = {
            "commit": commit,
            "at": now.isoformat(timespec="seconds"),
            "checks": {name: done.get(name) or _not_done("it did not run") for name in NAMES},
        }
        check(document, commit=commit)
        (assembly / FILE).write_text(json.dumps(document, indent=2) + "\n")
    except (OSError, ValueError, KeyError, ElementTree.ParseError) as error:
        raise EvidenceError(f"the results of the checks can't be kept: {error!r}") from error
    return document


def read(assembly: Path, *, commit: str) -> bytes:
    """The results in ``assembly``, or a document that says of each check that it was not done. Raises ``EvidenceError``
    when they are of another commit."""
    try:
        content = (assembly / FILE).read_bytes()
    except FileNotFoundError:
        nothing = {"commit": commit, "at": None, "checks": {name: _not_done(NOTHING) for name in NAMES}}
        content = (json.dumps(nothing, indent=2) + "\n").encode()
    try:
        check(json.loads(content), commit=commit)
    except (Mismatch, ValueError) as error:
        raise EvidenceError(str(error)) from error
    return content


def check(document: Any, *, commit: str) -> None:
    """Raises ``Mismatch`` unless ``document`` says of each check of ``commit`` how it ended."""
    match document:
        case {"commit": str(of), "checks": dict(checks)} if set(checks) == set(NAMES):
            if of != commit:
                raise Mismatch(f"{FILE} is about commit {of}")
            if all(map(_is_result, checks.values())):
                return
    raise Mismatch(f"{FILE} does not say how each check ended")


def summary(document: Mapping[str, Any]) -> list[str]:
    """A line for each check; what was not done in capitals."""
    found = document["checks"]
    done = [f"{name}: {each['result']}, {each['said']}" for name, each in found.items() if each["result"] == PASSED]
    failed = [f"FAILED    {name}: {each['said']}" for name, each in found.items() if each["result"] == FAILED]
    missing = {each["said"]: [n for n in found if found[n] == each] for each in found.values()
               if each["result"] == NOT_DONE}  # fmt: skip
    return [
        *(f"checked   {line}" for line in done),
        *failed,
        *(f"NOT DONE  {', '.join(names)}: {why}" for why, names in missing.items()),
    ]


def _is_result(entry: Any) -> bool:
    match entry:
        case {"result": str(result), "said": str(said)}:
            return result in RESULTS and bool(said.strip())
    return False


def _not_done(why: str) -> dict[str, Any]:
    return {"result": NOT_DONE, "said": why}


def _tested(junit: Path) -> dict[str, Any]:
    """The counts of a JUnit file, by the part of the code: the third name of ``tests.unit.lambdas.test_cards``."""
    cases = list(ElementTree.parse(junit).getroot().iter("testcase"))  # noqa: S314  # pytest of this build wrote it
    bad = [each for each in cases if each.find("failure") is not None or each.find("error") is not None]
    skipped = [each for each in cases if each.find("skipped") is not None]
    parts = Counter((each.get("classname", "") + "...").split(".")[2] for each in cases)
    return {
        "result": FAILED if bad or not cases else PASSED,
        "said": f"{len(cases)} tests: {len(bad)} failed, {len(skipped)} skipped",
        "parts": dict(sorted(parts.items())),
    }
