"""The code under promotion: of this repository's commit, whole, and nothing that would not arrive."""

import subprocess
from pathlib import Path

import pytest

from pipeline.local.__main__ import main
from pipeline.local.errors import ExitCode
from pipeline.local.users import system_user

from .conftest import Project, last, stage


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another repository with a commit, of which a git hook tells in ``GIT_DIR`` and ``GIT_WORK_TREE``."""
    folder = tmp_path / "other"
    folder.mkdir()
    for command in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message", "Of the other one"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def test_the_repository_of_a_git_hook_is_not_the_promoted_one(
    project: Project, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a command that a hook of another repository started
    state = project(stage("Dev"))
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    # When it promotes
    assert main(["promote"]) == ExitCode.OK
    # Then it is this folder's commit
    assert last(state).subject == "First payment"
    assert (last(state).source / "plan.json").exists()


GPG = """#!/bin/sh
case "$*" in
    *--verify*) echo "gpg: Signature made by somebody" >&2; echo "[GNUPG:] GOODSIG 1 somebody" ;;
    *) cat >/dev/null; echo "[GNUPG:] SIG_CREATED " >&2; printf -- "-----BEGIN PGP SIGNATURE-----\\n\\nx\\n" ;;
esac
"""


def test_the_check_of_a_signature_is_no_part_of_the_subject(project: Project, tmp_path: Path) -> None:
    # Given a signed commit, in a repository whose log shows the check of signatures
    state = project(stage("Dev"))
    gpg = tmp_path / "gpg"
    gpg.write_text(GPG)
    gpg.chmod(0o755)
    for setting in (("gpg.program", str(gpg)), ("log.showSignature", "true")):
        subprocess.run(["git", "config", *setting], check=True)
    subprocess.run(["git", "commit", "--quiet", "--allow-empty", "-S", "--message", "Signed payment"], check=True)
    # When it is promoted
    assert main(["promote"]) == ExitCode.OK
    # Then
    assert last(state).subject == "Signed payment"
    assert last(state).origin["signature"] == "G"


def test_the_record_names_who_made_the_commit_and_who_started_the_run(project: Project) -> None:
    # Given a commit that somebody else wrote
    state = project(stage("Dev"))
    command = ["git", "commit", "--quiet", "--allow-empty", "--author", "Ann <ann@company.net>", "--message", "Hers"]
    subprocess.run(command, check=True)
    # When it is promoted
    assert main(["promote"]) == ExitCode.OK
    # Then
    origin = last(state).origin
    assert (origin["author"], origin["signature"]) == ("Ann <ann@company.net>", "N")
    assert origin["committer"] not in ("", origin["author"])
    assert origin["started"] == system_user()


def test_all_files_of_a_commit_are_promoted_as_a_source_action_delivers_them(project: Project) -> None:
    # Given a file that `git archive` leaves out, one of Git LFS, and a link inside the tree
    state = project(stage("Dev"))
    Path(".gitattributes").write_text("notes.txt export-ignore\nbig.bin filter=lfs\n")
    Path("notes.txt").write_text("read me")
    Path("big.bin").write_text("version https://git-lfs.github.com/spec/v1\n")
    Path("link").symlink_to("notes.txt")
    subprocess.run(["git", "add", "--all"], check=True)
    subprocess.run(["git", "commit", "--quiet", "--message", "Files"], check=True)
    # When it is promoted
    assert main(["promote"]) == ExitCode.OK
    # Then all are there
    source = last(state).source
    assert (source / "notes.txt").read_text() == (source / "link").read_text() == "read me"
    assert (source / "big.bin").read_text().startswith("version https://git-lfs")


def test_a_submodule_is_refused_because_it_would_arrive_empty(
    project: Project, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a commit with a submodule
    project(stage("Dev"))
    allowed = ["-c", "protocol.file.allow=always"]
    subprocess.run(["git", *allowed, "submodule", "--quiet", "add", str(other), "vendor/other"], check=True)
    subprocess.run(["git", "commit", "--quiet", "--message", "Vendor it"], check=True)
    # When it is promoted, then it is refused
    assert main(["promote"]) == ExitCode.BAD_INPUT
    assert "'vendor/other' is a submodule" in capsys.readouterr().out


@pytest.mark.parametrize("target", ["/etc/passwd", "../secrets", "a/../../secrets"])
def test_a_link_out_of_the_repository_is_refused(
    project: Project, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    # Given a commit with a link to a file of the machine
    project(stage("Dev"))
    Path("settings").symlink_to(target)
    subprocess.run(["git", "add", "--all"], check=True)
    subprocess.run(["git", "commit", "--quiet", "--message", "Link"], check=True)
    # When it is promoted, then it is refused
    assert main(["promote"]) == ExitCode.BAD_INPUT
    assert "'settings' is a symbolic link out of the repository" in capsys.readouterr().out
