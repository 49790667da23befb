"""Whether somebody else than its author has approved a commit: the setting ``another_approves``.

An approver is a name of IAM or of this machine, an author an e-mail address that a commit names. A session of IAM
Identity Center has an address as its name. The addresses of others stand in the settings; a name without one may not
approve, because nobody can say then whose commit it is.

CodePipeline runs the text of this module from the build specification of the deployed pipeline, isolated (`python -I`),
between an approval and what it allows. So it uses the standard library and the AWS CLI only. The local engine and the
evidence import it.

    python -I - STAGE

ends with 1 and the reason unless another one has approved. `docs/approvals.md` says how far that can be believed.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

ADDRESS = re.compile(r"<([^<>\s]+@[^<>\s]+)>\s*$")


class Refused(Exception):
    """The approval does not count. The message says why, and what to do."""


def is_author(approver: str, people: Iterable[str | None], addresses: Mapping[str, Sequence[str]]) -> bool | None:
    """Whether ``approver`` is one of ``people``, who made a commit: ``Ann <ann@company.net>``. ``None``: it is unknown.

    ``approver``: a user of this machine, or the ARN of a user or session. ``addresses``: their e-mail addresses, by the
    name of the user or session.
    """
    name = approver.rpartition("/")[2]
    own = {each.lower() for each in addresses.get(name, [name]) if "@" in each}
    wrote = {found[1].lower() for each in people if each and (found := ADDRESS.search(each))}
    return bool(own & wrote) if own and wrote else None


def require_another(approver: str, people: Iterable[str | None], addresses: Mapping[str, Sequence[str]]) -> None:
    """Raises ``Refused`` unless somebody else than ``people`` has approved."""
    made = list(people)
    match is_author(approver, made, addresses):
        case True:
            raise Refused(f"{approver} made this commit. Somebody else must approve it.")
        case None if not any(each and ADDRESS.search(each) for each in made):
            raise Refused("Nobody knows who made this commit, so nobody can say that somebody else approves it.")
        case None:
            raise Refused(
                f"Nobody knows with which e-mail addresses {approver} commits, so nobody can say who made this commit."
                " Name them in PIPELINE.addresses (environments.py)."
            )


def main(stage: str) -> int:
    """Hold the last approval of ``stage`` in this execution against the author that the source action names."""
    pipeline, execution = os.environ["PIPELINE_NAME"], os.environ["PIPELINE_EXECUTION_ID"]
    command = ["aws", "codepipeline", "list-action-executions", "--pipeline-name", pipeline, "--output", "json"]
    done = subprocess.run([*command, "--filter", f"pipelineExecutionId={execution}"], stdout=subprocess.PIPE, text=True)
    try:
        actions = json.loads(done.stdout)["actionExecutionDetails"]
        [*_, given] = sorted((each for each in actions if _approves(each, stage)), key=lambda each: each["startTime"])
        author = author_of(actions)
        require_another(given["updatedBy"], [author], json.loads(os.environ["ADDRESSES"]))
    except Refused as reason:
        sys.stderr.write(f"{reason} Retry all actions of {stage}: that asks again.\n")
        return 1
    except (ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"CodePipeline does not say who approved {stage}: {error!r}\n")
        return 1
    sys.stdout.write(f"{given['updatedBy']} approved what {author} wrote\n")
    return 0


def author_of(actions: Iterable[Mapping[str, Any]]) -> str | None:
    """``Ann <ann@company.net>`` if the source action names an author. AWS documents no such variable, but pipelines are
    seen to have it."""
    for each in actions:
        if each.get("input", {}).get("actionTypeId", {}).get("category") == "Source":
            told = each.get("output", {}).get("outputVariables", {})
            named = [told.get("AuthorDisplayName"), f"<{told['AuthorEmail']}>" if told.get("AuthorEmail") else None]
            return " ".join(filter(None, named)) or None
    return None


def _approves(action: Mapping[str, Any], stage: str) -> bool:
    category = action["input"]["actionTypeId"]["category"]
    return (category, action["stageName"], action["status"]) == ("Approval", stage, "Succeeded")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
