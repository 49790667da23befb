"""Each thing that the documentation names exists: pages, headings, files, commands, `make` targets, settings."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from environments import PROMOTION_ORDER, Environment, GateSettings, PipelineSettings, ReleaseSettings

ROOT = Path(__file__).resolve().parents[3]
NOT_OURS = {".git", ".venv", ".pipeline", "node_modules", "cdk.out", "reports"}
_LISTED = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
# CodePipeline hands on files without a history.
FILES = {name for name in _LISTED.stdout.splitlines() if (ROOT / name).is_file()} or {
    str(path.relative_to(ROOT)) for each in ROOT.iterdir() if each.name not in NOT_OURS for path in each.rglob("*")
} | {each.name for each in ROOT.iterdir() if each.is_file()}
FOLDERS = {str(parent) for name in FILES for parent in Path(name).parents}
NAMES = {Path(name).name for name in FILES}
PICTURE_BYTES = 60_000
"""The most that a picture may have: a clone and a page bring them all."""
PAGES = sorted(name for name in FILES if name.endswith(".md"))
SOURCES = sorted(
    name for name in FILES if name.endswith((".py", ".toml", ".yml", ".yaml")) and "/unit/docs/" not in name
)
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))
MADE = ("reports/", "cdk.out/", "evidence/", "logs/", "templates/", "audit/")
"""Folders of what commands write."""

each_page = pytest.mark.parametrize("page", PAGES)
each_page_of_today = pytest.mark.parametrize("page", sorted(set(PAGES) - {"CHANGELOG.md"}))
"""The changelog also names what there was."""


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def prose_of(page: str) -> str:
    """Without blocks of code and pictures, and without the sources in other repositories."""
    return re.sub(r"^```.*?^```|^## Sources$.*", "", text_of(page), flags=re.M | re.S)


def spans(page: str) -> Iterator[str]:
    """The texts between backquotes."""
    return (match[1] for match in re.finditer(r"`([^`\n]+)`", prose_of(page)))


def anchors(page: str) -> set[str]:
    """The fragments by which GitHub reaches the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def exists(path: str, page: str) -> bool:
    """From the root of the repository, or from the folder of the page or of the package that it is about."""
    plain = path.rstrip("/")
    beside = str(Path(page).parent / plain)
    return any(each in FILES or each in FOLDERS for each in (plain, beside)) or any(
        each.endswith(f"/{plain}") for each in FILES | FOLDERS
    )


@each_page
def test_links_lead_somewhere(page: str) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        name = str(file.resolve().relative_to(ROOT))
        if name not in FILES | FOLDERS or (fragment and fragment not in anchors(name)):
            broken.append(target)
    assert not broken


@each_page_of_today
def test_files_that_are_named_exist(page: str) -> None:
    """A path whose first folder is one of this repository, and a bare name of a Python or TOML file."""
    missing = []
    for span in spans(page):
        for path in _alternatives(span):
            if not re.fullmatch(r"[\w./-]+", path) or path.startswith(("/", *MADE)) or "NNNN" in path:
                continue
            first = path.partition("/")[0]
            named = path.endswith((".py", ".toml")) and "/" not in path
            known = "/" in path and first in FOLDERS and first not in (".", "..")
            if (known and not exists(path, page)) or (named and path not in NAMES):
                missing.append(path)
    assert not missing


def _alternatives(span: str) -> list[str]:
    """``a/{b,c}.py`` is two paths."""
    braces = re.fullmatch(r"([^{}]*)\{([^{}]*)\}([^{}]*)", span)
    return [f"{braces[1]}{each}{braces[3]}" for each in braces[2].split(",")] if braces else [span]


@each_page_of_today
def test_commands_that_are_named_exist(page: str) -> None:
    text = text_of(page)
    modules = set(re.findall(r"python3? -m ([\w.]+\w)", text)) - {"pytest", "venv"}
    missing = [
        each
        for each in sorted(modules)
        if not {f"{each.replace('.', '/')}.py", f"{each.replace('.', '/')}/__main__.py"} & FILES
    ]
    assert not missing


@each_page
def test_make_targets_that_are_named_exist(page: str) -> None:
    commands = [*spans(page), *re.findall(r"^(?:\$ )?(make .+)$", text_of(page), re.M)]
    words = [word for each in commands if each.startswith("make ") for word in each.split("#")[0].split()[1:]]
    named = {word.strip(";,") for word in words if re.fullmatch(r"[a-z0-9-]+[;,]?", word) and not word.startswith("-")}
    assert named <= TARGETS


@pytest.mark.parametrize("source", SOURCES)
def test_pages_that_the_code_names_exist(source: str) -> None:
    named = set(re.findall(r"\bdocs/[\w./-]+\.md\b", text_of(source)))
    assert {each for each in named if not exists(each, source)} == set()


def test_every_page_is_reached_from_the_map() -> None:
    maps = ("docs/index.md", "docs/runbooks/README.md")
    linked = {
        str(((ROOT / page).parent / target.partition("#")[0]).resolve().relative_to(ROOT))
        for page in maps
        for target in re.findall(r"\]\(([^)\s:]+)\)", text_of(page))
    }
    expected = {page for page in PAGES if not page.startswith(".github/")} - {"docs/index.md"}
    assert expected <= linked, f"add the page to {' or '.join(maps)}"


def test_the_table_of_tests_has_each_file_or_its_folder() -> None:
    table = set(spans("tests/README.md"))
    tests = {name for name in FILES if name.startswith("tests/") and Path(name).name.startswith("test_")}
    missing = {name for name in tests if name not in table and f"{Path(name).parent}/" not in table}
    assert not missing, "say in tests/README.md which behaviour they show"


def test_every_decision_has_its_number_and_its_parts() -> None:
    decisions = sorted(page for page in PAGES if re.match(r"docs/decisions/\d", page))
    assert [Path(page).name[:4] for page in decisions] == [f"{n:04}" for n in range(1, len(decisions) + 1)]
    for page in decisions:
        headings = re.findall(r"^## (.+)$", text_of(page), re.M)
        assert headings == ["Context", "Decision", "Consequences"], page


def test_the_picture_of_the_layers_shows_each_package_of_the_contract() -> None:
    contracts = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    [layers] = [each["layers"] for each in contracts if each["type"] == "layers"]
    picture = text_of("docs/architecture.md").rpartition("```mermaid")[2]
    shown = set(re.findall(r"[a-z_]+(?:\.[a-z_]+)*", picture))
    assert {package for layer in layers for package in layer.split(" | ")} <= shown


def test_each_picture_is_shown_and_small() -> None:
    shown = {
        str((ROOT / page).parent.joinpath(found[1] or found[2]).resolve().relative_to(ROOT))
        for page in PAGES
        for found in re.finditer(r'!\[[^\]]+\]\(([^)\s]+)\)|<img src="([^"]+)"', prose_of(page))
    }
    pictures = {name for name in FILES if name.startswith("docs/pictures/")}
    assert pictures == shown
    assert [name for name in pictures if (ROOT / name).stat().st_size > PICTURE_BYTES] == []


def test_the_table_of_the_local_cloud_names_each_extension() -> None:
    """An extension without a row would be a behaviour that nobody is told of."""
    machinery = {"__init__", "__main__", "control", "memory", "own_api", "upstream"}
    extensions = {Path(name).stem for name in FILES if re.fullmatch(r"localcloud/emulator/\w+\.py", name)} - machinery
    rows = re.findall(r"^\|.*\| ((?:`\w+`(?:, )?)+) \|$", text_of("docs/local-cloud.md"), re.M)
    assert {name for row in rows for name in re.findall(r"\w+", row)} == extensions


def test_the_table_of_optional_features_agrees_with_the_settings() -> None:
    """Each setting that is off by default, and in which environments it is on."""
    rows = re.findall(r"^\| `(\w+)` \| `([^`]*)` \| ([\w, ]*) ?\|", text_of("docs/optional-features.md"), re.M)
    defaults = {
        each.name: each.default
        for kind in (Environment, ReleaseSettings, GateSettings, PipelineSettings)
        for each in fields(kind)
    }
    off = {name for name, default in defaults.items() if default in (False, None, ())}
    assert {name for name, _, _ in rows} == off, "docs/optional-features.md has a row for each setting that is off"
    for name, default, on_in in rows:
        assert repr(defaults[name]) == default, name
        assert [each.name for each in PROMOTION_ORDER if _is_on(name, each)] == re.findall(r"\w+", on_in), name


def _is_on(name: str, environment: Environment) -> bool:
    return any(getattr(each, name, None) for each in (environment, environment.release, environment.gate))
