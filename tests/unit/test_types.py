"""What mypy leaves out, and that none of it is used."""

import ast
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MYPY = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]


def checked() -> Iterator[Path]:
    """The files whose types mypy checks."""
    for name in MYPY["files"]:
        yield from [ROOT / name] if name.endswith(".py") else (ROOT / name).rglob("*.py")


def names(file: Path) -> Iterator[str]:
    """What the file imports of the CDK, or may reach by it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("aws_cdk"):
            yield from (node.module, *(f"{node.module}.{each.name}" for each in node.names))
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.startswith("aws_cdk"))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id.endswith("cdk"):
            yield f"aws_cdk.{node.attr}"


def test_mypy_reads_each_module_of_the_cdk_that_is_used() -> None:
    cdk = find_spec("aws_cdk")
    assert cdk
    assert cdk.origin
    site = Path(cdk.origin).parents[1]
    used = {name for file in checked() for name in names(file) if (site / name.replace(".", "/")).is_dir()}
    [read] = [each["module"] for each in MYPY["overrides"] if each.get("follow_imports") == "normal"]
    assert "aws_cdk.aws_iam" in used
    assert used <= {*read}
