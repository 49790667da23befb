"""Mistyped and malicious words on command lines are refused before anything is made, and no shell runs them.

``LINES=1000`` tries as many command lines, as `make edges` does.
"""

import os
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.unit.commands.running import Case, Result, driver, fault

LINES = int(os.environ.get("LINES") or 47)
SEED = int(os.environ.get("SEED") or 18)
HOSTILE = (
    "$(touch pwned)", "`touch pwned`", "; touch pwned", "| touch pwned", "&& touch pwned", "\ntouch pwned\n",
    "'; touch pwned; '", "\"; touch pwned; \"", "${IFS}touch${IFS}pwned", "../../pwned", "/pwned", "..", ".", "", " ",
    "-", "--", "-rf", "--help=x", "--output=/pwned", "--upload-pack=touch pwned", "-oProxyCommand=touch pwned",
    "ext::sh -c touch% pwned", "%s%n", "{0.__class__}", "\u001b[31m", "\u202e", "\udc80", "dev\n", "DEV", "prod ",
    "prodd", "d\u00e9v", "dev/../prod", "candidate", "a" * 5000, "0", "-1", "1e999", "nan", "2026-13-45",
    "HEAD;touch pwned", "refs/heads/$(touch pwned)", "@{-1}", "[]", "*", "~root", "file:///etc/passwd",
    "http://127.0.0.1:9/$(touch pwned)", "https://[::1", "arn:aws:iam::1:role/$(touch pwned)", "/dev/null",
    "/proc/self/mem",
)  # fmt: skip
WORD = "WORD"
TEMPLATES = [line.split() for line in (
    "localcloud start WORD", "localcloud env WORD", "localcloud set dev WORD", "localcloud stop dev --state WORD",
    "localcloud age dev --days WORD", "pipeline.local promote --revision WORD",
    "pipeline.local promote --repository WORD", "pipeline.local promote --approve WORD", "pipeline.local WORD",
    "pipeline.release shift --env WORD", "pipeline.release status --env WORD",
    "pipeline.release rollback --env WORD --force", "pipeline.release undo --env dev --to WORD",
    "pipeline.release pause --env dev --for WORD", "pipeline.release abort --env dev --reason WORD",
    "pipeline.release WORD", "pipeline.bootstrap --env WORD",
    "pipeline.bootstrap --env dev --host-name WORD --certificate-arn WORD", "pipeline.bootstrap --renew-roots WORD",
    "pipeline.evidence collect --env WORD", "pipeline.evidence verify WORD",
    "pipeline.evidence verify WORD --key WORD", "pipeline.evidence record --tests WORD --advisories WORD",
    "pipeline.status WORD", "pipeline.audit verify --env WORD",
    "pipeline.audit verify --env dev --day WORD", "pipeline.audit verify --env dev --key WORD",
    "pipeline.rules check WORD", "pipeline.rules show --env WORD", "pipeline.rules withdraw --env dev --reason WORD",
    "pipeline.transactions --env WORD get txn_1", "pipeline.transactions --env dev get WORD",
    "pipeline.transactions --env dev list --status WORD",
    "pipeline.transactions --env dev reverse txn_1 --refund WORD --reason WORD", "pipeline.compliance.checkov WORD",
    "migration load --env WORD", "migration load --env dev --file WORD", "migration follow --env dev --columns WORD",
    "migration follow --env dev --for WORD", "migration verify --env dev --source WORD",
    "migration verify --env dev --lag WORD", "migration repair --env WORD", "migration shadow --env dev WORD",
    "migration shadow --env dev - --rate WORD", "migration shadow --env dev - --most WORD",
    "pipeline.review --base WORD", "pipeline.doctor WORD",
    "loadtest.gate --env WORD",
    "loadtest.gate --env dev --url WORD", "loadtest.gate --env dev --rate WORD", "loadtest.gate --env dev --mix WORD",
    "loadtest.gate --env dev --bind WORD", "loadtest.gate --env dev --limit-factors WORD",
    "loadtest.traffic --env WORD -- true", "loadtest.traffic --env dev --url WORD -- true",
    "loadtest.fargate --env WORD --workers 2", "loadtest.fargate --env dev --workers WORD",
)]  # fmt: skip


def harm(folder: Path, result: Result, words: Sequence[str]) -> str | None:
    """What a command did that no word of its command line may make it do."""
    places = (str(folder), tempfile.gettempdir() + "/tmp", tempfile.gettempdir() + "/review-", "/dev/null")
    for program, *rest in result.of("starts"):
        if os.path.basename(program) in ("sh", "bash") or "os.system" in rest:
            return f"a shell was started: {program} {rest}"
    for [path] in result.of("writes"):
        if not path.startswith(places) and "__pycache__" not in path:
            return f"it wrote {path}"
    for [address] in result.of("connects"):
        if address not in ("127.0.0.1", "::1"):
            return f"it called {address}"
    if list(folder.rglob("*pwned*")) and not any("/pwned" in word for word in words):
        return "a word was run"
    return None


def test_no_word_of_a_command_line_does_harm(tmp_path: Path) -> None:
    chance, faults = random.Random(SEED), []
    templates = [TEMPLATES[number % len(TEMPLATES)] for number in range(LINES)]
    with driver() as commands:
        for number, (module, *words) in enumerate(templates):
            # Given a command line with hostile words
            arguments = [chance.choice(HOSTILE) if word == WORD else word for word in words]
            folder = tmp_path / str(number)
            folder.mkdir()
            # When it is run
            case = Case(module=module, arguments=arguments, folder=str(folder))
            result = commands.run(case)
            # Then it ends with a sentence, and has done no harm
            if wrong := fault(case, result) or harm(folder, result, arguments):
                faults.append(f"{case}: {wrong}")
    assert faults == []
