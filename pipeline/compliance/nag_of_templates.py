"""cdk-nag's rules over templates as data: nothing of the code that made them is executed.

cdk-nag judges constructs. CDK makes them again from a template, each of the type that the template names.

Source: CDK API reference, "CfnInclude".
"""

import re
from collections.abc import Iterable
from types import SimpleNamespace
from typing import cast

from aws_cdk import App, Environment, IPolicyValidationContext, LegacyStackSynthesizer, Stack
from aws_cdk.cloudformation_include import CfnInclude

from pipeline.assembly import StackArtifact
from pipeline.compliance.template_pack import Template
from pipeline.compliance.validation import NAG_PACKS, NagPlugin

KNOWN = re.compile(r"aws://(unknown-account|\d{12})/([a-z0-9-]+)")


def findings(stacks: Iterable[StackArtifact]) -> set[tuple[str, str]]:
    """The findings, as the packs have them in a synthesis: long id and path of the construct.

    A template's metadata acknowledges nothing: only that of a construct does. Raises ``ValueError`` for a template that
    CDK can't read, and ``RuntimeError`` where its JavaScript fails.
    """
    app = App(analytics_reporting=False)
    paths: dict[str, str] = {}
    for number, stack in enumerate(stacks):
        for each in Template(stack.template()).resources:
            paths[f"S{number}/T/{each.id}"] = each.construct_path
        scope = Stack(app, f"S{number}", env=_place(stack), synthesizer=LegacyStackSynthesizer())
        CfnInclude(scope, "T", template_file=str(stack.template_file))
    context = cast(IPolicyValidationContext, SimpleNamespace(app_construct=app))
    found: set[tuple[str, str]] = set()
    for pack in NAG_PACKS:
        plugin = NagPlugin(pack(app))
        plugin.validate(context)
        found |= plugin.found
    return {(finding, paths.get(path, path)) for finding, path in found}


def _place(stack: StackArtifact) -> Environment:
    match = KNOWN.fullmatch(stack.environment)
    if not match:
        raise ValueError(f"{stack.path} is in {stack.environment!r}")
    account, region = (None if each.startswith("unknown-") else each for each in match.groups())
    return Environment(account=account, region=region)
