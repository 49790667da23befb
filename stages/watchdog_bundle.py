"""The watchdog's artefact: those modules of the release controller that it imports, and nothing else.

boto3 comes with Lambda's Python runtime. The modules that judge a candidate import scipy only when they judge, and the
watchdog judges none.
"""

import hashlib
import shutil
from functools import cache
from modulefinder import ModuleFinder
from pathlib import Path

from aws_cdk import aws_lambda as lambda_

from stages.bundling import ROOT, built_once

MODULE = "pipeline.release.aws.watchdog"
HANDLER = f"{MODULE}.handler"


def watchdog_asset() -> lambda_.Code:
    """The artefact as CDK code. Its hash is computed from the files, so it changes only with them."""
    return lambda_.Code.from_asset(str(bundle()))


@cache
def bundle() -> Path:
    """Build the artefact unless it is cached. Returns its folder."""
    files = sorted(_files())
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")

    def build(folder: Path) -> None:
        for file in files:
            target = folder / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)

    return built_once(f"watchdog-{digest.hexdigest()[:32]}", build)


def _files() -> list[Path]:
    """The repository's modules that ``MODULE`` imports, also inside of functions. It runs none of them."""
    finder = ModuleFinder(path=[str(ROOT)])
    finder.import_hook(MODULE)
    files = (vars(module)["__file__"] for module in finder.modules.values())
    return [Path(file) for file in files if file]
