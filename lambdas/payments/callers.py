"""Callers of the API: AWS's name of a caller, and the principal in it, which owns the idempotency keys."""

from typing import Final

from lambdas.payments.card_text import mask_card_numbers

_ROLE: Final = "AROA"
"""The prefix of an IAM role's unique id."""


def principal(caller: str) -> str:
    """The IAM principal of ``caller``. It stays the same when the caller's credentials are renewed.

    A role's caller is ``<role id>:<session name>``. The SDKs generate a session name for each process, so a process
    that restarts repeats its request under another session name. For every other caller the whole name is the
    principal, also for a federated user (``<account>:<name>``), because the account has several.
    """
    return caller.partition(":")[0] if caller.startswith(_ROLE) else caller


def recorded(caller: str) -> str:
    """``caller`` as it may be stored. A session's name is the client's choice: what may be a card number in it is
    masked, not refused, because SDKs put the time of day there, whose digits may pass for one."""
    name, separator, session = caller.partition(":")
    return name + separator + mask_card_numbers(session)
