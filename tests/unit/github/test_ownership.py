"""Every path in CODEOWNERS has a team, and exists: a moved file must not lose its team."""

from fnmatch import fnmatch
from pathlib import Path

import pytest

from environments import PIPELINE

ROOT = Path(__file__).resolve().parents[3]
OWNED = [
    tuple(line.split())
    for line in (ROOT / ".github" / "CODEOWNERS").read_text().splitlines()
    if line and not line.startswith("#")
]


def owner(path: str) -> str:
    """The teams of the last line that matches, as GitHub reads it."""
    *_, last = (team for pattern, team in OWNED if pattern == "*" or fnmatch(f"/{path}", f"{pattern}*"))
    return last


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in OWNED if pattern != "*"])
def test_each_owned_path_exists(pattern: str) -> None:
    path = ROOT / pattern.lstrip("/")
    assert path.is_dir() if pattern.endswith("/") else path.is_file()


@pytest.mark.parametrize("team", sorted({team for _, team in OWNED}))
def test_the_owners_are_of_the_organisation_whose_repository_is_promoted(team: str) -> None:
    organisation = PIPELINE.repository.split("/")[0]
    assert team.startswith(f"@{organisation}/") or team == f"@{organisation}"


@pytest.mark.parametrize(
    "path",
    [
        ".github/CODEOWNERS",
        ".github/workflows/review-comment.yml",
        "pipeline/compliance/acknowledgements.toml",
        "pipeline/review/publish.py",
        "pipeline/evidence/verify.py",
        "pipeline/artifact_folders.py",
        "pipeline/barrier.py",
        "pipeline/approvals.py",
        "pipeline/approver.py",
        "pipeline/change.py",
        "pipeline/inspection.py",
        "pipeline/predecessor.py",
        "pipeline/steps.py",
        "pipeline/stack.py",
        "pyproject.toml",
        "stages/encryption.py",
        "requirements/dev.txt",
        "lambdas/requirements.txt",
    ],
)
def test_security_owns_rights_and_the_judges(path: str) -> None:
    assert (ROOT / path).is_file()
    assert owner(path).endswith("/security")
