"""Card testing: one party tries many cards to find the good ones, by any route of the API.

Each rule watches the set of different cards that share something: the client's address, the caller, the caller and the
first six digits. A payment without ``client_ip`` is watched under its caller instead, so leaving the field out gains
nothing. Windows are fixed, not sliding: a full set stays full until its window ends.
"""

import json
import socket
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from lambdas.payments.cards import Card
from lambdas.payments.fraud import Rules
from lambdas.payments.payment import Payment
from lambdas.payments.velocity import Watch, short

CARD_TESTING: Final[Mapping[str, Mapping[str, int]]] = json.loads(
    Path(__file__).with_name("card_testing.json").read_bytes()
)
"""The rules' values in this version. ``small``: the largest small amount, in minor units of the base currency."""


def watches(payment: Payment, base_minor: int, card: Card, caller: str, rules: Rules, now: datetime) -> list[Watch]:
    """The sets that this payment's card belongs to. ``caller``: the principal. Empty for an impossible card number."""
    if payment.card_number.faults():
        return []
    subjects = {
        "many_cards_from_address": _network(payment.client_ip) or f"unnamed#{caller}",
        "many_small_payments_in_bin": f"{caller}#{card.bin}",
        "many_small_payments_of_caller": caller,
    }
    found = []
    for rule, subject in subjects.items():
        values = rules.values.get(rule)
        if values is None or base_minor > values.get("small", base_minor):
            continue
        window, seconds = int(now.timestamp()) // values["seconds"], values["seconds"]
        found.append(
            Watch(
                rule=rule,
                key=f"{rule}#{subject}#{seconds}#{window}",
                card=short(card.fingerprint),
                most=values["cards"],
                expires=(window + 2) * seconds,
            )
        )
    return found


def _network(address: str | None) -> str | None:
    """An IPv4 address, or the /64 network of an IPv6 address, which is what one subscriber has (RFC 6177)."""
    if address is None:
        return None
    if ":" not in address:
        return address
    packed = socket.inet_pton(socket.AF_INET6, address)
    if packed[:12] == bytes(10) + b"\xff\xff":  # an IPv4 address in IPv6 form
        return socket.inet_ntoa(packed[12:])
    return packed[:8].hex()
