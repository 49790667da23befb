"""Shadow requests: the migration asks what this platform would decide of a payment that another system decides.

They come under one role, which may do nothing else. Each names the merchant whose payment it is, because that merchant
does not call this platform yet. They are decided like any other. They change nothing, and nothing counts them: neither
limits and velocity nor the metrics of merchants' requests, by which a release is judged.
"""

import os
from dataclasses import replace
from typing import Final

from lambdas.api.problems import Problem
from lambdas.api.requests import Request
from lambdas.payments.callers import Caller

HEADER: Final = "X-Shadow-Merchant"
"""Marks a shadow request. Its value is the merchant's id."""


def is_shadow(caller: Caller | None) -> bool:
    """Whether ``caller`` has the role of shadow requests. An environment into which nobody moves has none."""
    return caller is not None and caller.principal_arn == os.environ.get("SHADOW_ROLE_ARN")


def in_whose_name(request: Request, caller: Caller) -> Caller:
    """``caller`` with the merchant that a shadow request names. Raises ``Problem`` for anybody else's request with the
    mark, and for one of this role without it, which would count."""
    merchants = request.headers.get(HEADER.lower(), ())
    if not merchants and not is_shadow(caller):
        return caller
    if not is_shadow(caller) or len(merchants) != 1 or not merchants[0]:
        raise Problem("shadow_not_allowed")
    return replace(caller, shadow_of=merchants[0])
