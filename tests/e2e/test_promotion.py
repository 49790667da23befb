"""One real promotion, and the push of a change after it: real templates, gates, shifts and payments."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

from .conftest import Clone

TEST_GATE = {
    "confidence: float = 0.95": "confidence: float = 0.5",
    "duration_seconds: float = 40.0": "duration_seconds: float = 15.0",
    "warm_up_seconds: float = 20.0": "warm_up_seconds: float = 5.0",
    "limit_ms: float = 200.0": "limit_ms: float = 1000.0",
}
"""A shorter gate with a higher limit, because the machine may be busy.
``python -m benchmarks promotion`` shows that the real limit is kept on a quiet machine."""


def change(path: Path, replacements: dict[str, str]) -> None:
    text = path.read_text()
    for old, new in replacements.items():
        assert old in text, f"{old!r} is no longer in {path.name}: adapt this test"
        text = text.replace(old, new)
    path.write_text(text)


def statuses(run: dict) -> dict[str, list[str]]:
    return {stage["name"]: [f"{s['name']} {s['status']}" for s in stage["steps"]] for stage in run["stages"]}


def test_a_commit_reaches_prod_after_approval_and_a_pushed_change_is_shifted_without_a_lost_request(
    clone: Clone,
) -> None:
    # Given this project as it stands, with a quicker and more patient gate
    change(clone.folder / "environments.py", TEST_GATE)
    clone.commit("A quicker gate")

    # When it is promoted where nobody can answer
    promoted = clone.run("promote")

    # Then dev and staging are through, proven by their gates, and prod waits, untouched
    assert promoted.returncode == 0, promoted.stdout + promoted.stderr
    run = clone.last_run()
    assert run["status"] == "waiting"
    assert {step.split()[-1] for stage in ("Build", "Dev", "Staging") for step in statuses(run)[stage]} == {"succeeded"}
    # what would change there is known
    assert statuses(run)["Prod"][:4] == [
        "Local cloud succeeded", "Prepare succeeded", "PromoteToProd waiting", "Deploy pending",
    ]  # fmt: skip
    for environment in ("dev", "staging"):
        assert clone.report(environment, "gate.json")["verdict"] == "pass"

    # When a person approves under a false name
    person = pwd.getpwuid(os.getuid()).pw_name
    approved = clone.run("approve", USER="somebody-else")

    # Then prod has it too, and the record says who let it in
    assert approved.returncode == 0, approved.stdout + approved.stderr
    run = clone.last_run()
    assert run["status"] == "succeeded"
    assert [a["by"] for a in run["approvals"]] == [person]

    # And anyone can verify the evidence of each environment
    for environment in ("dev", "staging", "prod"):
        [bundle] = (Path(run["folder"]) / "evidence").glob(f"{environment}-*.zip")
        verified = subprocess.run(
            [sys.executable, "-m", "pipeline.evidence", "verify", str(bundle)],
            cwd=clone.folder,
            capture_output=True,
            text=True,
        )
        assert verified.returncode == 0, verified.stderr
        assert (f"by {person}," in verified.stdout) == (environment == "prod")
        assert "  artefact  " in verified.stdout

    # When a change of the functions is pushed to the local remote (which now asks before staging, to end this here)
    assert clone.run("remote").returncode == 0
    settings = clone.folder / "environments.py"
    change(settings, {'name="staging",': 'name="staging",\n    requires_approval=True,'})
    with (clone.folder / "lambdas" / "validation" / "handler.py").open("a") as handler:
        handler.write("\n# A change that makes a new version.\n")
    clone.commit("Change the functions")
    pushed = subprocess.run(["git", "push", "local", "main"], cwd=clone.folder, capture_output=True, text=True)

    # Then the push shows the promotion, which took traffic from stable to candidate and lost nothing
    assert "staging waits for approval" in pushed.stderr, pushed.stderr
    assert "BlueGreenShift succeeded" in statuses(clone.last_run())["Dev"]
    traffic = clone.report("dev", "traffic.json")
    assert traffic["sent"] > 0
    assert traffic["lost"] == 0
    release = clone.report("dev", "release.json")
    assert release["phase"] == "promoted"
