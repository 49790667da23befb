"""The summary that an approval on AWS shows: the commands of the template run here, against an account of files."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.promotion import promotion
from tests.infrastructure.test_pipeline import APPROVAL, action, pipeline, project, statements

ROOT = Path(__file__).resolve().parents[2]
OWN, RUNNING, BEFORE = "own", "running", "older"
AWS = """#!{python}
# CodePipeline and S3, as files of a folder.
import shutil, sys
from pathlib import Path
words, folder = sys.argv[1:], Path({folder!r})
if words[0] == "s3":
    sys.exit(shutil.copy(folder / words[-2].rpartition("/")[2], words[-1]) and 0)
file = folder / (words[words.index("--filter") + 1] if "--filter" in words else words[1])
assert words[words.index("--pipeline-name") + 1] == "payment-pipeline"
print(file.read_text()) if file.exists() else sys.exit(254)
"""


def execution(id: str, revision: str, subject: str) -> dict[str, Any]:
    told = {"revisionId": revision * 40, "revisionSummary": json.dumps({"CommitMessage": f"{subject}\n\nWhy."})}
    return {"pipelineExecutionId": id, "sourceRevisions": [told]}


def done(stage: str, name: str, category: str, key: str | None = None, **configuration: str) -> dict[str, Any]:
    left = [{"name": "x", "s3location": {"bucket": "artifacts", "key": f"payment-pipeline/x/{key}"}}] if key else []
    return {"stageName": stage, "actionName": name, "status": "Succeeded", "startTime": "2026-11-29T01:00:00",
            "input": {"actionTypeId": {"category": category}, "configuration": configuration},
            "output": {"outputArtifacts": left}}  # fmt: skip


def whole() -> list[dict[str, Any]]:
    """What an execution has done that prod runs."""
    return [done("Source", "Source", "Source", "source.zip"),
            done("Build", "Inspect", "Build", "assembly.zip", ProjectName="payment-inspection"),
            done("Prod", "Evidence", "Build")]  # fmt: skip


def pack(folder: Path, names: list[str], file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for each in (path for name in names for path in [folder / name, *(folder / name).rglob("*")]):
            if each.is_file() and "__pycache__" not in each.parts:
                archive.write(each, each.relative_to(folder))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifacts of the execution that prod runs: this repository, and what it synthesises to."""
    folder = tmp_path_factory.mktemp("artifacts")
    packages = [
        "pipeline",
        "localcloud",
        "reporting",
        "stages",
        "lambdas",
        "loadtest",
        *(p.name for p in ROOT.glob("*.py")),
    ]
    pack(ROOT, packages, folder / "source.zip")
    pack(promotion().folder, ["."], folder / "assembly.zip")
    return folder


class Account:
    """The build of the summary, and what it finds."""

    def __init__(self, folder: Path, running: Path) -> None:
        self.answers, self.commit, self._folder = folder / "answers", folder / "commit", folder
        shutil.copytree(running, self.answers)
        self.answer("list-pipeline-executions", "pipelineExecutionSummaries", [
            execution("later", "e", "Not here yet"),
            execution(OWN, "c", "Pay faster"),
            execution("failed", "b", "Pay \x1b[31m#{slower}"),
            execution(RUNNING, "a", "First payment"),
            execution(BEFORE, "0", "Older"),
        ])  # fmt: skip
        self.did(RUNNING, whole())
        self.did("failed", [each for each in whole() if each["stageName"] != "Prod"])
        # A commit whose code would praise itself, and a change of what it deploys
        (self.commit / "pipeline").mkdir(parents=True)
        for name in ("pipeline/__init__.py", "json.py", "pip.py", "sitecustomize.py"):
            (self.commit / name).write_text("import sys; print('ALL IS WELL'); sys.exit(0)")
        assembly = shutil.copytree(promotion().folder, self.commit / "cdk.out")
        [template] = (assembly / "assembly-Prod").glob("*.template.json")
        content = json.loads(template.read_text())
        bus = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {"Statement": []}}}
        content["Resources"]["Added"] = bus
        template.write_text(json.dumps(content))
        routes = [{"route": "/validate", "p99_ms": 38.9}, {"route": "/process", "p99_ms": 93.5}]
        before = {"release_id": None, "reason": "none yet"}
        self.report("gate/gate.json", verdict="pass", limit_ms=200, comparison=before, routes=routes)
        self.report("shift/outcome.json", text="promoted: version 3 is stable")
        tools = folder / "tools"
        tools.mkdir()
        (tools / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (tools / "python").chmod(0o755)
        for name, script in {"aws": AWS.format(python=sys.executable, folder=str(self.answers)),
                             "pip": "#!/bin/sh\n", "uv": "#!/bin/sh\n"}.items():  # fmt: skip
            (tools / name).write_text(script)
            (tools / name).chmod(0o755)

    def answer(self, file: str, name: str, value: Any) -> None:
        (self.answers / file).write_text(json.dumps({name: value}))

    def did(self, id: str, actions: list[dict[str, Any]]) -> None:
        self.answer(f"pipelineExecutionId={id}", "actionExecutionDetails", actions)

    def report(self, file: str, **content: Any) -> None:
        path = self.commit / "reports/staging" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"environment": "staging", **content}))

    def summarise(self, stage: str = "Staging") -> tuple[str, str]:
        """What the build in ``stage`` prints, and the variable that the approval shows."""
        ended = self.run(stage)
        assert ended.returncode == 0, ended.stderr
        printed, _, said = ended.stdout.partition("SAID ")
        return printed + ended.stderr, said.strip()

    def run(self, stage: str) -> "subprocess.CompletedProcess[str]":
        commands = json.loads(project(stage, "Summary")["Source"]["BuildSpec"])["phases"]["build"]["commands"]
        environment = {
            "PATH": f"{self._folder / 'tools'}:{os.environ['PATH']}",
            "TMPDIR": str(self._folder),
            "PIPELINE_NAME": "payment-pipeline",
            "PIPELINE_EXECUTION_ID": OWN,
            "ASSEMBLY_DIGEST": "d" * 64,
            "CODEBUILD_BUILD_URL": "https://console.example/build",
            "CODEBUILD_SRC_DIR_1Inspect": str(self._folder / "inspected"),
        }
        script = "\n".join([*commands, 'echo "SAID $SUMMARY $SUMMARY_PAGE"'])
        return subprocess.run(
            ["/bin/sh", "-ec", script], cwd=self.commit, env=environment, capture_output=True, text=True
        )


@pytest.fixture
def account(tmp_path: Path, running: Path) -> Account:
    return Account(tmp_path, running)


def test_the_approval_shows_what_is_approved_by_the_code_that_prod_runs(account: Account) -> None:
    # When the build of the summary runs beside a commit whose code would praise itself
    printed, said = account.summarise()
    # Then the question has the pushes, their effect, gate and shift in a few words, and where all of it is
    assert said.startswith("Prod runs aaaaaaaaaaaa, 2 pushes since. "), printed
    assert "new finding" in said
    assert "IAM or security change" in said
    assert "standing costs" in said
    assert (
        "staging gate pass: p99 /validate 39, /process 94 of 200 ms. staging shift promoted: version 3 is stable."
        in said
    )
    assert said.endswith(" https://console.example/build")
    assert "ALL IS WELL" not in printed + said
    # And the whole is printed and kept: commits as text that does nothing, and the comparison with the last release
    whole = (account.commit / "approval/change.txt").read_text()
    assert whole in printed
    assert whole.splitlines()[:2] == ["To approve: cccccccccccc Pay faster", f"  assembly {'d' * 64}"]
    assert "  Prod runs aaaaaaaaaaaa First payment. New since then:\n    cccccccccccc Pay faster\n" in whole
    assert r"    bbbbbbbbbbbb Pay \x1b[31m#{slower}" in whole
    assert f"/compare/{'a' * 40}...{'c' * 40}" in whole
    assert "  staging shift promoted: version 3 is stable" in whole
    assert "  staging not compared with a promoted release: none yet" in whole
    assert "Not here yet" not in whole


def test_the_approval_of_another_pipeline_shows_what_comes_with_it(account: Account, tmp_path: Path) -> None:
    # Given a commit to which the pipeline has updated itself, and that nobody has let into prod
    account.did("failed", [*whole()[:2], done("UpdatePipeline", "SelfMutate", "Build")])
    # When the commit brings an assembly of its own, then the build ends, because that is not what was inspected
    refused = account.run("ApprovePipeline")
    assert refused.returncode != 0
    assert "SAID" not in refused.stdout
    # And without one, the summary is of what was inspected
    (account.commit / "cdk.out").rename(tmp_path / "inspected")
    printed, said = account.summarise("ApprovePipeline")
    assert said.startswith("Prod runs aaaaaaaaaaaa, 2 pushes since. "), printed
    assert "IAM or security change" in said
    assert "gate" not in said
    text = action("ApprovePipeline", "ChangePipeline")["Configuration"]["CustomData"]
    assert len(text) + 450 + 160 + 40 + 64 - sum(map(len, re.findall("#{[^}]*}", text))) <= 1000


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda account: account.did(RUNNING, whole()[:2]), "what runs there could not be read"),
        (
            lambda account: account.answer("list-pipeline-executions", "pipelineExecutionSummaries",
                                           [execution(OWN, "c", "Pay faster")]),
            "no execution has gone through Prod yet",
        ),
        (lambda account: (account.answers / "source.zip").write_text("no zip"), "what runs there could not be read"),
        (lambda account: (account.answers / "list-pipeline-executions").unlink(), "what runs there could not be read"),
        (lambda account: account.did(RUNNING, whole()[1:]), "what runs there was not made by a whole execution"),
        (
            lambda account: pack(ROOT, ["pyproject.toml"], account.answers / "source.zip"),
            "the code that runs there could not do it",
        ),
    ],
)  # fmt: skip
def test_a_summary_that_is_missing_is_told_and_stops_nobody(
    account: Account, given: Callable[[Account], object], said: str
) -> None:
    given(account)
    _, told = account.summarise()
    assert told.startswith(f"NOT SUMMARISED: {said}")
    assert told.endswith("https://console.example/build")


def test_a_long_effect_is_cut_so_that_codepipeline_takes_the_text(account: Account) -> None:
    # Given routes without end in a report that the commit's own code has written, with a variable in one
    routes = [{"route": f"/#{{secret}}{number}", "p99_ms": 1.0} for number in range(500)]
    account.report("gate/gate.json", verdict="pass", limit_ms=200, routes=routes)
    # When, then it has no variable, and still the costs at the end of the effect
    _, said = account.summarise()
    assert "#{" not in said
    assert "standing costs unchanged." in said
    text = action("Prod", APPROVAL)["Configuration"]["CustomData"]
    variables = {"#{Source@example_payment-pipeline.CommitId}": "c" * 40, "#{Build@Inspect.ASSEMBLY}": "d" * 64,
                 "#{Staging@Summary.SUMMARY}": said.rpartition(" ")[0],
                 "#{Staging@Summary.SUMMARY_PAGE}": "x" * 160}  # fmt: skip
    for name, value in variables.items():
        assert name in text
        text = text.replace(name, value)
    assert "#{" not in text
    assert len(text) <= 1000


@pytest.mark.parametrize("stage", ["Staging", "ApprovePipeline"])
def test_the_build_of_a_summary_only_reads(stage: str) -> None:
    allowed = {
        right
        for each in statements(project(stage, "Summary")["ServiceRole"])
        for right in each["Action"]
        if right.startswith(("codepipeline:", "sts:", "cloudformation:", "iam:"))
    }
    assert allowed == {"codepipeline:ListActionExecutions", "codepipeline:ListPipelineExecutions"}


def test_the_summary_ends_the_stage_before_so_that_no_build_comes_before_productions_approval() -> None:
    [staging] = [each for each in pipeline()["Stages"] if each["Name"] == "Staging"]
    orders = {each["Name"]: each["RunOrder"] for each in staging["Actions"]}
    assert max(orders, key=lambda name: orders[name]) == "Summary"
