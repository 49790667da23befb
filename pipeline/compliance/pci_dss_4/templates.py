"""Requirement 6.5.1: nothing is deployed that the rules could not read."""

from pipeline.compliance.pci_dss_4.declaration import rule
from pipeline.compliance.template_pack import NESTED, Resource


@rule("6.5.1", "ReadableTemplates", NESTED, fault="The rules can't read the template of this nested stack")
def readable_templates(stack: Resource) -> bool:
    return stack.id not in stack.template.unread
