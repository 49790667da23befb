"""The set-up and the person's environment: what make hands down, what it evaluates, and what `make doctor` finds."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import doctor
from stages.bundling import cache_folder

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = {
    "PIP_USER": "1", "PIP_TARGET": "/x", "PIP_NO_BINARY": ":all:", "UV_SYSTEM_PYTHON": "1", "UV_NO_BINARY": "1",
    "PYTHONPATH": "/x", "PYTHONHOME": "/x", "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "error", "PYTHONOPTIMIZE": "2",
    "NODE_ENV": "production", "NODE_OPTIONS": "--no-such-option", "NODE_PATH": "/x", "VIRTUAL_ENV": "/x",
    "CONDA_PREFIX": "/x", "BASH_ENV": "/x", "CDPATH": "/tmp",
}  # fmt: skip
WHERE_PACKAGES_ARE = {"PIP_INDEX_URL": "https://packages.example", "UV_INDEX_URL": "https://packages.example",
                      "PIP_CERT": "/ca.pem", "UV_CACHE_DIR": "/cache", "NODE_EXTRA_CA_CERTS": "/ca.pem"}  # fmt: skip


def make(tmp_path: Path, recipe: str, *arguments: str, **variables: str) -> dict[str, str]:
    """The variables of a recipe of the Makefile, after it ran ``recipe``."""
    probe = tmp_path / "probe.mk"
    probe.write_text(f"include {ROOT / 'Makefile'}\nprobe:\n\t@{recipe}\n\t@env -0\n")
    kept = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = ["make", "--silent", "-f", str(probe), "probe", *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=kept | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)


def test_a_recipe_sees_where_packages_are_and_nothing_that_changes_them(tmp_path: Path) -> None:
    seen = make(tmp_path, "true", **HOSTILE, **WHERE_PACKAGES_ARE)

    assert {name for name in HOSTILE if name in seen} == {"PIP_USER"}
    assert seen["PIP_USER"] == "0"  # it outweighs pip's configuration files
    assert seen.items() >= WHERE_PACKAGES_ARE.items()


@pytest.mark.parametrize(
    "hostile", ["$(touch pwned)", "`touch pwned`", "; touch pwned", '"; touch pwned; "', "$(shell touch pwned)"]
)
def test_neither_make_nor_a_shell_evaluates_what_a_person_names(tmp_path: Path, hostile: str) -> None:
    seen = make(tmp_path, 'printf %s "$$REVISION$$BASE$$ENV" > given', f"REVISION={hostile}", BASE=hostile)

    assert (seen["REVISION"], seen["BASE"]) == (hostile, hostile)
    assert (tmp_path / "given").read_text() == f"{hostile}{hostile}dev"
    assert not (tmp_path / "pwned").exists()


def test_no_recipe_pastes_into_its_shell_what_a_person_names() -> None:
    recipes = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("\t")]

    assert [
        line for line in recipes for name in ("REVISION", "BASE", "ENV", "APPROVE", "RATE") if f"$({name})" in line
    ] == []


CAUSE = "FAILED at Dev / LoadGate: /process over 200 ms; $(touch pwned) $$HOME `touch pwned` # 100 %"


def ended(tmp_path: Path, goal: str, python: str) -> tuple[int, str]:
    """How ``make goal`` ends, and its last line, where ``python`` is this script."""
    tools = tmp_path / ".venv/bin"
    tools.mkdir(parents=True, exist_ok=True)
    (tools / "python").write_text(f"#!/bin/sh\n{python}\n")
    (tools / "python").chmod(0o755)
    (tmp_path / "node_modules").mkdir()
    shutil.copy(ROOT / "Makefile", tmp_path)
    for file in ("requirements/dev.txt", "package-lock.json", ".venv/.ready", "node_modules/.ready"):  # set up already
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    done = subprocess.run(
        ["make", goal],
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.returncode, done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


@pytest.mark.parametrize("goal", ["promote", "approve"])
def test_the_last_line_of_a_failed_promotion_is_its_cause(tmp_path: Path, goal: str) -> None:
    (tmp_path / "cause").write_text(CAUSE)
    code, last = ended(tmp_path, goal, 'cat cause > "$LAST_WORD"; echo details; exit 1')

    assert code == 2
    assert last.endswith(f"*** {CAUSE}.  Stop.")
    assert not (tmp_path / "pwned").exists()


def test_make_s_own_line_is_left_when_nobody_knows_the_cause(tmp_path: Path) -> None:
    code, last = ended(tmp_path, "promote", "exit 3")
    assert (code, last.endswith("Error 1")) == (2, True)


def test_the_cause_of_an_earlier_failure_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/last-word").write_text(CAUSE)
    assert ended(tmp_path, "promote", "exit 0") == (0, "")


def test_the_last_line_of_failed_tests_names_the_part(tmp_path: Path) -> None:
    code, last = ended(tmp_path, "test", "exit 1")
    assert code == 2
    assert re.search(r"\*\*\* (\w+) failed, as shown above: `make \1` repeats it alone\.  Stop\.$", last), last


def test_the_start_up_file_of_a_shell_is_no_environment(tmp_path: Path) -> None:
    assert make(tmp_path, "true", ENV="/home/me/.shrc")["ENV"] == "dev"
    assert make(tmp_path, "true", ENV="staging")["ENV"] == "staging"


def test_without_a_home_the_caches_are_in_the_checkout(tmp_path: Path) -> None:
    seen = make(tmp_path, "true", HOME="/nonexistent")

    assert seen["XDG_CACHE_HOME"] == f"{tmp_path}/.cache"
    assert seen["npm_config_cache"] == f"{tmp_path}/.cache/npm"


def test_a_part_that_fails_fails_the_whole_also_with_the_make_of_macos(tmp_path: Path) -> None:
    # Given make 3.81, which does not know .SHELLFLAGS, in a folder of its own: this checkout's make may run these tests
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".venv").mkdir()
    command = ["make", ".SHELLFLAGS=-c", "-o", "setup", "test", "SHARING=no-such-part", "ALONE=help"]
    done = subprocess.run(command, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)

    assert done.returncode != 0
    assert "no-such-part failed" in done.stderr
    assert "All parts passed" not in done.stdout


def test_what_another_command_leaves_meanwhile_fails_no_promotion_that_succeeded(tmp_path: Path) -> None:
    assert ended(tmp_path, "promote", f'echo "{CAUSE}" > "$LAST_WORD"; exit 0') == (0, "")


def test_the_doctor_names_each_thing_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Given a machine with no programs, no room, no home, and a pip that installs elsewhere
    configuration = tmp_path / "pip.conf"
    configuration.write_text("[install]\ntarget = /elsewhere\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 10**8))  # type: ignore[attr-defined]
    monkeypatch.setattr(doctor.time, "time", lambda: 0.0)
    monkeypatch.setattr(os, "geteuid", lambda: 2**22)
    # When it is examined
    found = {line.split()[1]: (good, line) for good, line in doctor.lines()}
    # Then each is named
    assert "bash, git, make" in found["programs"][1]
    assert "the user 4194304 has no name" in found["user"][1]
    assert "0.1 GB are free" in found["space"][1]
    assert "pip's configuration sets target" in found["settings"][1]
    assert "set the clock" in found["clock"][1]
    assert [name for name, (good, _) in found.items() if not good] == ["programs", "user", "space", "clock", "settings"]
    # And what is only worked around is no fault
    assert found["home"][1].startswith("◆")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="only Linux has such a folder")
def test_the_doctor_tries_to_write_to_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root has the right to write to each folder, also to those that take no files."""
    monkeypatch.setenv("HOME", "/proc")

    assert any("/proc can't be written" in line for _, line in doctor.lines())


def test_the_doctor_needs_no_set_up() -> None:
    done = subprocess.run([sys.executable, "-S", "-m", "pipeline.doctor"], cwd=ROOT, capture_output=True, text=True)

    assert "Traceback" not in done.stderr
    assert done.stdout.startswith("✓ Python")


def test_the_doctor_knows_a_debian_without_its_package_for_virtual_environments() -> None:
    # Given a Python without ensurepip
    lacking = "import sys; sys.modules['ensurepip'] = None; from pipeline.doctor import main; sys.exit(main([]))"
    done = subprocess.run([sys.executable, "-c", lacking], cwd=ROOT, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (1, "")
    assert "apt-get install python3-venv" in done.stdout.splitlines()[0]


def test_the_doctor_does_not_mind_a_reader_that_has_seen_enough() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m pipeline.doctor | head -n 1"], cwd=ROOT, capture_output=True, text=True
    )

    assert done.stdout.startswith("✓ Python")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("variables", "folder"),
    [({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c"), ({"HOME": "/h"}, "/h/.cache"), ({}, str(ROOT / ".cache"))],
)
def test_bundles_are_cached_also_without_a_home(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
) -> None:
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(cache_folder()) == f"{folder}/payment-pipeline/functions"
