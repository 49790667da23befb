"""Who sends requests: a caller as AWS names it, and the principal in it, to whom idempotency keys belong."""

from typing import Final

_ROLE: Final = "AROA"
"""How the unique id of an IAM role begins."""


def principal(caller: str) -> str:
    """The IAM principal of ``caller``, which stays the same when its credentials are renewed.

    A role's caller is ``<role id>:<session name>``, and the SDKs make up a session name for each process: one that
    died and was started again repeats its request under another. Any other caller names its principal as a whole, also
    a federated user (``<account>:<name>``), for its account has others.
    """
    return caller.partition(":")[0] if caller.startswith(_ROLE) else caller
