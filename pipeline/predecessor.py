"""Finds what an environment runs, so that an approval can say what is new: its commit, the code and the assembly.

CodePipeline runs the text of this module from the build specification of the deployed pipeline, isolated (`python -I`),
so it uses the standard library and the AWS CLI only. The summary itself is then written by the code of the commit that
the environment runs (`pipeline/change.py`). So the commit that waits can't write about itself: its files are data here.

    python -I - FOLDER

writes `facts.json` and the folders `source` and `assembly` into FOLDER. If it can't, it writes the reason into `brief`.
Either way it ends with 0: who approves is told that a summary is missing, and decides.

Sources: API reference of CodePipeline, ListPipelineExecutions (newest first) and ListActionExecutions.
"""

import contextlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

LOOK_AT = 60
"""The most executions among which the one is looked for that the environment runs. Each costs a call."""
UNWRITTEN = "NOT SUMMARISED: the code that runs there could not do it. The log says why"


class Unknown(Exception):
    """There is nothing to compare with. The message says why."""


def main(folder: Path) -> int:
    folder.mkdir(parents=True)
    try:
        facts = find(folder)
        (folder / "facts.json").write_text(json.dumps(facts))
        said = UNWRITTEN  # until the summary is written
    except Unknown as reason:
        said = f"NOT SUMMARISED: {reason}"
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        sys.stderr.write(f"{error!r}\n")
        said = "NOT SUMMARISED: what runs there could not be read. The log says why"
    (folder / "brief").write_text(said)
    return 0


def find(folder: Path) -> dict[str, Any]:
    """The facts that `pipeline/change.py` reads. Raises `Unknown`."""
    stage, own, here = os.environ["STAGE"], os.environ["PIPELINE_EXECUTION_ID"], Path.cwd()
    listed = codepipeline("list-pipeline-executions", "--max-items", "300")["pipelineExecutionSummaries"]
    begun = listed[[each["pipelineExecutionId"] for each in listed].index(own) :]
    number, done = predecessor(begun, stage)
    for part, location in made(done).items():
        fetch(location, folder / part)
    before, after = commit(begun[number]), commit(begun[0])
    pushes = {revision: subject for revision, subject in map(commit, begun[:number]) if revision != before[0]}
    reports = [{"stage": name, "gate": str(here / f"reports/{name}/gate"), "shift": str(here / f"reports/{name}/shift")}
               for name in os.environ["PROVEN_IN"].split()]  # fmt: skip
    return {
        "stage": stage,
        "before": side(before, folder / "source", folder / "assembly"),
        "after": side(after, here, here / "cdk.out"),
        "facts": [f"assembly {os.environ['ASSEMBLY_DIGEST']}"],
        "pushes": [f"{revision[:12]} {subject}" for revision, subject in pushes.items()],
        "link": os.environ["COMPARE"].replace("BEFORE", before[0]).replace("AFTER", after[0]),
        "reports": reports,
    }


def predecessor(begun: list[dict[str, Any]], stage: str) -> tuple[int, list[dict[str, Any]]]:
    """Which of the executions, newest first and after the own one, has gone through `stage`, and its actions."""
    for number, each in enumerate(begun[1 : LOOK_AT + 1], start=1):
        done = actions(each["pipelineExecutionId"])
        if any(went_through(action, stage) for action in done):
            return number, done
    raise Unknown(f"no execution has gone through {stage} yet")


def side(of: tuple[str, str], source: Path, assembly: Path) -> dict[str, str]:
    return {"revision": of[0], "subject": of[1], "source": str(source), "assembly": str(assembly)}


def went_through(action: dict[str, Any], stage: str) -> bool:
    """Whether this is the last action of the stage, and ended well."""
    return (action["stageName"], action["actionName"], action["status"]) == (stage, os.environ["LAST"], "Succeeded")


def made(done: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Where the commit and the inspected assembly lie that an execution has worked with."""
    found = {}
    for action in sorted(done, key=lambda each: str(each["startTime"])):
        asked, left = action["input"], action.get("output", {}).get("outputArtifacts")
        if action["status"] == "Succeeded" and left:
            if asked["actionTypeId"]["category"] == "Source":
                found["source"] = left[0]["s3location"]
            elif asked.get("configuration", {}).get("ProjectName") == os.environ["INSPECTION_PROJECT"]:
                found["assembly"] = left[0]["s3location"]
    if len(found) < 2:
        raise Unknown("what runs there was not made by a whole execution")
    return found


def commit(execution: dict[str, Any]) -> tuple[str, str]:
    """Revision and first line of the message."""
    told = execution["sourceRevisions"][0]
    summary = told.get("revisionSummary", "")
    with contextlib.suppress(ValueError, KeyError, TypeError):
        summary = json.loads(summary)["CommitMessage"]
    return told["revisionId"], summary.partition("\n")[0]


def actions(execution: str) -> list[dict[str, Any]]:
    which = ("--filter", f"pipelineExecutionId={execution}")
    found: list[dict[str, Any]] = codepipeline("list-action-executions", *which)["actionExecutionDetails"]
    return found


def fetch(location: dict[str, str], folder: Path) -> None:
    packed = folder.with_suffix(".zip")
    aws("s3", "cp", "--only-show-errors", f"s3://{location['bucket']}/{location['key']}", str(packed))
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder)


def codepipeline(*words: str) -> Any:
    answer = aws("codepipeline", *words, "--pipeline-name", os.environ["PIPELINE_NAME"], "--output", "json")
    return json.loads(answer)


def aws(*words: str) -> str:
    done = subprocess.run(["aws", *words], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise OSError(f"aws {' '.join(words)} has failed")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
