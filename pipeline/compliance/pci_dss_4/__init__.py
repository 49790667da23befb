"""The requirements of PCI DSS 4.0.1 that infrastructure code can meet or break. docs/pci-dss-4.md lists the others.

cdk-nag's pack stops at version 3.2.1, retired in March 2024. Requirement numbers are those of "Payment Card Industry
Data Security Standard: Requirements and Testing Procedures, v4.0.1" (PCI Security Standards Council, June 2024).
"""

from pipeline.compliance.pci_dss_4 import access, addresses, doors, encryption, logs, secrets, templates, tls
from pipeline.compliance.pci_dss_4.declaration import RULES
from pipeline.compliance.template_pack import TemplatePack

NAME = "PCI.DSS.401"
SUBJECTS = (access, addresses, doors, encryption, logs, secrets, templates, tls)


def pack() -> TemplatePack:
    """The pack, ready to be added to an app."""
    return TemplatePack(NAME, RULES)
