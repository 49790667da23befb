"""The reasons why no bundle was written, or why a bundle is not trustworthy."""


class EvidenceError(Exception):
    """A piece of evidence is missing, or contradicts another one. The message names it. No bundle is written."""


class Mismatch(Exception):
    """A bundle differs from its manifest, or the manifest from its signature. The message names the first such file."""
