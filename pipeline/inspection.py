"""Inspects a cloud assembly before anything acts on it, and gives it a name: the digest of all its files.

An assembly looks like data, but its readers execute parts of it. The CDK CLI runs the `build` command of a `cdk.json`
beside it, and deploys the object that a URL in the manifest names. cdk-assets runs sources named `executable`, and
builds Docker files. npm reads `.npmrc`. The code of a commit writes the assembly, and these readers act under roles of
the pipeline. So everything in it that they act on must have the form that this project's synthesis gives it.

CodePipeline runs the text of this module from the build specification of the deployed pipeline, isolated (`python -I`),
and never from the commit that wrote the assembly. So it uses the standard library only. The local engine imports it.

    python -I - ASSEMBLY PIPELINE-STACK

prints two lines: `assembly DIGEST`, and `pipeline changed` or `pipeline unchanged`. Exit codes: 0; 1 the assembly is
refused, and the message says why; 2 usage.

Sources: the AWS CDK's cloud assembly specification; `aws-cdk` and `cdk-assets` of the pinned versions, which read it.
"""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TEMPLATE = r"[\w-]+(\.nested)?\.template\.json"
FILES = re.compile(
    rf"manifest\.json|cdk\.out|tree\.json|plan\.json|checks\.json|validation-report\.json|\w+\.dot|buildspec-[\w-]+\.yaml"
    rf"|{TEMPLATE}(\.config\.json)?|[\w-]+\.(assets|metadata)\.json"
)
FOLDERS = re.compile(r"assembly-[\w-]+")
"""The assemblies of stages."""
ASSET = re.compile(r"asset\.[0-9a-f]{64}(\.\w+)?")
"""A file or folder that is published as it is. Nobody reads its content here."""
PARAMETER = "${{AWS::{}}}".format
"""CDK's placeholder for a pseudo parameter. This text is itself in a template, where a whole one would be reported."""
ACCOUNT, REGION = rf"({re.escape(PARAMETER('AccountId'))}|\d{{12}})", rf"({re.escape(PARAMETER('Region'))}|[a-z0-9-]+)"
QUALIFIER = "hnb659fds"
"""Of CDK's bootstrap. With any other one, a bucket's name could be free, and a stranger's."""
ROLE = rf"arn:({re.escape(PARAMETER('Partition'))}|[a-z-]+):iam::{ACCOUNT}:role/cdk-{QUALIFIER}"
DESTINATION = {
    "bucketName": re.compile(rf"cdk-{QUALIFIER}-assets-{ACCOUNT}-{REGION}"),
    "objectKey": re.compile(r"[0-9a-f]{64}\.\w+"),
    "assumeRoleArn": re.compile(rf"{ROLE}-file-publishing-role-{ACCOUNT}-{REGION}"),
    "region": re.compile(r"[a-z0-9-]+"),
}
STACK, NESTED = "aws:cloudformation:stack", "cdk:cloud-assembly"
LISTS = {"cdk:asset-manifest": "{id}.json", "cdk:tree": "tree.json"}
KINDS = frozenset({STACK, NESTED, "cdk:feature-flag-report", *LISTS})
STACK_ROLES = {
    "assumeRoleArn": re.compile(rf"{ROLE}-deploy-role-{ACCOUNT}-{REGION}"),
    "cloudFormationExecutionRoleArn": re.compile(rf"{ROLE}-cfn-exec-role-{ACCOUNT}-{REGION}"),
}
STACK_PROPERTIES = frozenset(
    {
        "templateFile", "stackTemplateAssetObjectUrl", "stackName", "terminationProtection", "validateOnSynth",
        "requiresBootstrapStackVersion", "bootstrapStackVersionSsmParameter", "additionalDependencies", "lookupRole",
        *STACK_ROLES,
    }
)  # fmt: skip
"""Those that this project's synthesis writes. Others, such as parameters and tags, change what is deployed."""


class Refused(Exception):
    """Something in the assembly has an unknown form. The message names it."""


def inspect(assembly: Path, pipeline: str) -> str:
    """The digest of ``assembly``: SHA-256, in hexadecimal. ``pipeline``: the name of the pipeline's stack.

    Raises ``Refused`` for anything that this project's synthesis does not write.
    """
    content = _files(assembly)
    try:
        for name, file in content.items():
            if not ASSET.match(name):
                _check(name, file, content, pipeline)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{name} has an unknown form: {error!r}") from error
    return _digest(content)


def digest(assembly: Path) -> str:
    """The digest of ``assembly``. Raises ``Refused`` for files that are no part of an assembly, and without one."""
    return _digest(_files(assembly))


def _files(assembly: Path) -> dict[str, Path]:
    found = dict(_listed(assembly.resolve(), ""))
    if "manifest.json" not in found:
        raise Refused(f"{assembly} is no cloud assembly: it has no manifest.json")
    return found


def _listed(folder: Path, prefix: str, asset: bool = False) -> Iterator[tuple[str, Path]]:
    """Each file with its name in the assembly. Inside an ``asset``, every name is allowed."""
    for each in sorted(folder.iterdir()):
        name = prefix + each.name
        inside = asset or (not prefix and ASSET.fullmatch(each.name) is not None)
        if each.is_symlink() or not (each.is_file() or each.is_dir()):
            raise Refused(f"{name} is neither a file nor a folder")
        known = inside or (FILES if each.is_file() else FOLDERS).fullmatch(each.name)
        if not known or (each.is_dir() and prefix and not inside):
            raise Refused(f"{name} is no part of an assembly")
        if each.is_dir():
            yield from _listed(each, f"{name}/", inside)
        else:
            yield name, each


def _digest(content: Mapping[str, Path]) -> str:
    lines = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {name}\n" for name, file in sorted(content.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _check(name: str, file: Path, content: Mapping[str, Path], pipeline: str) -> None:
    if name.endswith(".assets.json"):
        _check_assets(name, _json(file), content)
    elif file.name == "manifest.json":
        for id, artifact in _json(file)["artifacts"].items():
            _check_artifact(name, id, artifact, file.parent, pipeline)


def _check_artifact(name: str, id: str, artifact: Mapping[str, Any], folder: Path, pipeline: str) -> None:
    where = f"{name}: {id}"
    if artifact["type"] not in KINDS:
        raise Refused(f"{where} is of the unknown type {artifact['type']}")
    if artifact["type"] == NESTED and not FOLDERS.fullmatch(artifact["properties"]["directoryName"]):
        raise Refused(f"{where} is in {artifact['properties']['directoryName']!r}")
    if any(each["type"] == "aws:cdk:asset" for found in artifact.get("metadata", {}).values() for each in found):
        raise Refused(f"{where} has an asset in its metadata")
    if artifact["type"] in LISTS:
        _check_list(where, id, artifact, folder)
    if artifact["type"] == STACK:
        _check_stack(where, artifact["properties"], folder)
        if name == "manifest.json":
            _check_pipeline(where, id, artifact, pipeline)
        elif not re.fullmatch(r"[\w-]+/[\w-]+", artifact.get("displayName", "")):
            # `cdk deploy` finds stacks by this name, also those of stages.
            raise Refused(f"{where} calls itself {artifact.get('displayName')!r}")


def _check_list(where: str, id: str, artifact: Mapping[str, Any], folder: Path) -> None:
    """The list of a stack's assets is the file that was inspected as such: the CDK CLI executes what such a list
    names."""
    file = artifact["properties"]["file"]
    if file != LISTS[artifact["type"]].format(id=id) or not FILES.fullmatch(file) or not (folder / file).is_file():
        raise Refused(f"{where} is in {file!r}")


def _check_assets(name: str, manifest: Mapping[str, Any], content: Mapping[str, Path]) -> None:
    """Only files of this assembly are published, to the assets' bucket, under their hash."""
    if more := sorted({part for part, value in manifest.items() if value} - {"version", "files"}):
        raise Refused(f"{name} has {', '.join(more)}: only files are published")
    for id, asset in manifest["files"].items():
        source = asset["source"]
        if more := sorted(set(source) - {"path", "packaging"}):
            raise Refused(f"{name}: the source of asset {id} has {', '.join(more)}")
        path = str(source["path"])
        template = re.fullmatch(TEMPLATE, path) is not None
        if not template and not ASSET.fullmatch(path.removeprefix("../") if "/" in name else path):
            raise Refused(f"{name}: asset {id} is {path!r}, which is no part of the assembly")
        if template and id != _sha256(content[name].parent / path):
            raise Refused(f"{name}: {path} is not what its hash says")
        for destination in asset["destinations"].values():
            _check_destination(f"{name}: asset {id}", id, destination, template)


def _check_destination(where: str, id: str, destination: Mapping[str, str], template: bool) -> None:
    for field, value in destination.items():
        if field not in DESTINATION or not DESTINATION[field].fullmatch(value):
            raise Refused(f"{where} goes to {field} {value!r}")
    key = destination["objectKey"]
    if key.partition(".")[0] != id:
        raise Refused(f"{where} goes to {key!r}, which is another one's place")
    if template is not key.endswith(".json"):
        # An object of this form is deployed as a template, and only those have the hash of their content.
        raise Refused(f"{where} goes to {key!r}, and is {'a' if template else 'no'} template")


def _check_stack(where: str, properties: Mapping[str, Any], folder: Path) -> None:
    """The template that people see is the one that the URL names, which the CDK CLI deploys."""
    file = properties["templateFile"]
    if not re.fullmatch(TEMPLATE, file):
        raise Refused(f"{where} is in {file!r}")
    if more := sorted(set(properties) - STACK_PROPERTIES):
        raise Refused(f"{where} has {', '.join(more)}")
    for role, form in STACK_ROLES.items():
        if role in properties and not form.fullmatch(properties[role]):
            raise Refused(f"{where} has the {role} {properties[role]!r}")
    url = properties["stackTemplateAssetObjectUrl"]
    if not re.fullmatch(rf"s3://{DESTINATION['bucketName'].pattern}/{_sha256(folder / file)}\.json", url):
        raise Refused(f"{where} is deployed from {url}, which is not {file}")


def _check_pipeline(where: str, id: str, artifact: Mapping[str, Any], pipeline: str) -> None:
    """`cdk deploy` deploys the pipeline's stack, and without asking all that this one depends on."""
    stack = artifact["properties"].get("stackName", id)
    if stack != id or not re.fullmatch(rf"{re.escape(pipeline)}(-artifacts-[a-z0-9-]+)?", stack):
        raise Refused(f"{where} is the stack {stack}, and no part of the pipeline")
    place = re.fullmatch(r"aws://(unknown-account|\d{12})/([a-z0-9-]+)", artifact["environment"])
    if not place:
        raise Refused(f"{where} is in {artifact['environment']}")
    account = PARAMETER("AccountId") if place[1] == "unknown-account" else place[1]
    region = PARAMETER("Region") if place[2] == "unknown-region" else place[2]
    url = artifact["properties"]["stackTemplateAssetObjectUrl"]
    if not url.startswith(f"s3://cdk-{QUALIFIER}-assets-{account}-{region}/"):
        raise Refused(f"{where} is deployed from {url}, which is not in its own account")
    if artifact.get("displayName", id) != id:
        raise Refused(f"{where} calls itself {artifact['displayName']!r}")


def changes(assembly: Path) -> bool:
    """Whether a stack of the pipeline differs from the deployed one, or is not deployed yet. Asks AWS."""
    for id, artifact in _json(assembly / "manifest.json")["artifacts"].items():
        if artifact["type"] == STACK:
            region = artifact["environment"].rpartition("/")[2]
            deployed = _deployed(id, [] if region == "unknown-region" else ["--region", region])
            if deployed != _json(assembly / artifact["properties"]["templateFile"]):
                return True
    return False


def _deployed(stack: str, options: list[str]) -> Any:
    """The template as it was deployed. ``None``: there is none, or nobody can read it. That counts as a difference."""
    command = ["aws", "cloudformation", "get-template", "--stack-name", stack, "--template-stage", "Original"]
    done = subprocess.run(
        [*command, "--query", "TemplateBody", "--output", "json", *options], stdout=subprocess.PIPE, text=True
    )
    try:
        return json.loads(done.stdout) if done.returncode == 0 else None
    except ValueError:
        return None


def _json(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_bytes(), object_pairs_hook=unique)
    return found


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values with one name, another reader might take the other one."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name that stands twice")
    return dict(pairs)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        sys.stderr.write("usage: python -I - ASSEMBLY PIPELINE-STACK\n")
        return 2
    assembly, pipeline = Path(arguments[0]), arguments[1]
    try:
        found = inspect(assembly, pipeline)
    except (Refused, OSError) as refused:
        sys.stderr.write(f"The assembly is refused: {refused}\n")
        return 1
    sys.stdout.write(f"assembly {found}\npipeline {'changed' if changes(assembly) else 'unchanged'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
