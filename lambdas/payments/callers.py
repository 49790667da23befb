"""Callers of the API: AWS's names of a caller, and the principal in them, which owns keys and belongs to a merchant."""

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Caller:
    """Who signed the request, as API Gateway verified it."""

    id: str
    """The unique id, with the session's name for a role."""
    arn: str
    shadow_of: str | None = None
    """The merchant for whose payment this is a shadow request, which changes and counts nothing."""

    @property
    def principal(self) -> str:
        """The unique id without the session."""
        return principal(self.recorded)

    @property
    def recorded(self) -> str:
        """The id as it may be stored. A session's name is the client's choice: what may be a card number in it is
        masked, not refused, because SDKs put the time of day there, whose digits may pass for one."""
        name, separator, session = self.id.partition(":")
        return name + separator + mask_card_numbers(session)

    @property
    def principal_arn(self) -> str:
        """The ARN of the user or role: of a role's session (``…:assumed-role/NAME/SESSION``) the role's without its
        path. Other ARNs are principals already."""
        head, role, rest = self.arn.partition(":assumed-role/")
        if not role:
            return self.arn
        return f"{head.replace(':sts:', ':iam:')}:role/{rest.partition('/')[0]}"

    @property
    def account(self) -> str:
        """The account of the principal; empty when the ARN has none."""
        return (self.arn.split(":") + [""] * 5)[4]
