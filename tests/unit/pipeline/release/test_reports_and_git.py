"""The reports of a release, and the branch that brings git back to the running version."""

import json
import subprocess
from pathlib import Path

import pytest

from pipeline.release import cli
from pipeline.release.cli import main
from pipeline.release.git import Disagreement, GitError
from pipeline.release.record import Release
from pipeline.release.report import write_reports
from tests.unit.pipeline.release.bench import Bench
from tests.unit.pipeline.release.fake_aws import Behaviour
from tests.unit.reporting.reading import accessible, self_contained


def rolled_back(*, running: str, ahead: str) -> Release:
    """Version 2 of ``running`` is stable; version 3 of ``ahead`` was found bad."""
    bench = Bench()
    bench.commit = running
    bench.controller().shift()
    bench.aws.deploy("3")
    bench.commit = ahead
    bench.aws.behaviour["3"] = Behaviour(errors=0.5)
    release = bench.controller().shift().release
    assert release
    return release


def test_a_record_is_read_as_it_was_written_and_across_versions_of_the_controller() -> None:
    release = rolled_back(running="a" * 40, ahead="b" * 40)
    raw = json.loads(release.to_json())
    raw["plan"]["limits"]["a limit of tomorrow"] = 1
    del raw["handled"]

    assert Release.from_json(release.to_json()) == release
    assert Release.from_json(json.dumps(raw)) == release


def test_how_the_command_ended_is_kept_even_if_there_was_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a candidate, and afterwards the same one again
    monkeypatch.chdir(tmp_path)
    bench = Bench()
    monkeypatch.setattr(cli, "_commands", lambda _: bench.controller())
    outcome = tmp_path / "reports" / "test" / "outcome.json"
    # When it is shifted, then it says so and names the release
    assert main(["shift", "--env", "test"]) == 0
    first = json.loads(outcome.read_text())
    assert (first["command"], first["exit_code"]) == ("shift", 0)
    assert first["text"] == "promoted: version 2 is stable"
    assert first["release"]["release_id"] == json.loads((outcome.parent / "release.json").read_text())["release_id"]
    # And when it is shifted again, it says that there was nothing to do, and names the release that has done it
    assert main(["shift", "--env", "test"]) == 0
    again = json.loads(outcome.read_text())
    assert again["text"] == "nothing to do: version 2 is stable already"
    assert again["release"] == first["release"]


def test_the_reports_tell_versions_decisions_and_reasons_in_one_self_contained_page(tmp_path: Path) -> None:
    release = rolled_back(running="a" * 40, ahead="b" * 40)

    write_reports(tmp_path, release)

    page = (tmp_path / "release.html").read_text()
    markdown = (tmp_path / "release.md").read_text()
    for text in ("version 2 → version 3", "rolled-back", "rolling back: analysis"):
        assert text in page
        assert text in markdown
    self_contained(page)
    assert accessible(page).tags.count("svg") == 3
    assert json.loads((tmp_path / "release.json").read_text())["phase"] == "rolled-back"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{variable}_NAME", "test")
        monkeypatch.setenv(f"GIT_{variable}_EMAIL", "test@example.com")
    git(tmp_path, "init", "-q", "-b", "main")
    for text in ("good", "bad", "worse"):
        (tmp_path / "code").write_text(text)
        git(tmp_path, "add", "code")
        git(tmp_path, "commit", "-qm", text)
    return tmp_path


def test_the_revert_branch_brings_git_back_to_the_running_version_and_leaves_the_work_tree(repository: Path) -> None:
    good, ahead = git(repository, "rev-parse", "HEAD~2"), git(repository, "rev-parse", "HEAD")
    disagreement = Disagreement.after(rolled_back(running=good, ahead=ahead))
    assert disagreement
    assert f"git revert --no-edit {good[:10]}..{ahead[:10]}" in disagreement.advice

    branch = disagreement.open_revert(repository)

    assert git(repository, "show", f"{branch}:code") == "good"
    assert git(repository, "rev-parse", f"{branch}~1") == ahead
    assert (repository / "code").read_text() == "worse"
    assert git(repository, "status", "--porcelain") == ""


def test_a_commit_that_git_does_not_have_is_said(repository: Path) -> None:
    disagreement = Disagreement.after(rolled_back(running="a" * 40, ahead="b" * 40))
    assert disagreement

    with pytest.raises(GitError, match="rev-parse"):
        disagreement.open_revert(repository)


def test_a_promoted_release_leaves_no_disagreement() -> None:
    assert Disagreement.after(Bench().controller().shift().release) is None


def test_the_plan_needs_no_aws(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--env", "prod"]) == 0
    assert "10 → 25 → 50 → 100 %" in capsys.readouterr().out


def test_an_impossible_environment_name_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--env", "No_such"]) == 2
    assert "environment name" in capsys.readouterr().err
