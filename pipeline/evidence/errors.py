"""Why there is no bundle, or why one is not to be believed."""


class EvidenceError(Exception):
    """Something is missing, or contradicts something else; the message says what. No bundle is written then."""


class Mismatch(Exception):
    """A bundle is not what its manifest, or the manifest's signature, says; the message names the first such file."""
