"""Card testing: one party tries many cards to find the good ones, by any route of the API.

Each rule watches the set of different cards that share something: the client's address, the caller, the caller and the
first six digits. A payment without ``client_ip`` is watched under its caller instead, so leaving the field out gains
nothing. Windows are fixed, not sliding: a full set stays full until its window ends.
"""

import socket
from datetime import datetime
from typing import Final

from lambdas.payments.card_keys import CardKeys
from lambdas.payments.payment import Payment
from lambdas.payments.rules import Rules
from lambdas.payments.velocity import Watch, short


def watches(payment: Payment, base_minor: int, keys: CardKeys, caller: str, rules: Rules, now: datetime) -> list[Watch]:
    """The sets that this payment's card belongs to. ``caller``: the principal. Empty for an impossible card number."""
    if payment.card_number.faults():
        return []
    found = []
    for rule in _RULES:
        values = rules.values.get(rule)
        if values is None or base_minor > values.get("small", base_minor):
            continue
        window, seconds = int(now.timestamp()) // values["seconds"], values["seconds"]
        key = keys.counted(window * seconds)[0].key  # one version for the whole window
        found.append(
            Watch(
                rule=rule,
                key=f"{rule}#{_subject(rule, payment, caller, key)}#{seconds}#{window}",
                card=short(payment.card_number.fingerprint(key)),
                most=values["cards"],
                expires=(window + 2) * seconds,
            )
        )
    return found


_RULES: Final = ("many_cards_from_address", "many_small_payments_in_bin", "many_small_payments_of_caller")


def _subject(rule: str, payment: Payment, caller: str, key: bytes) -> str:
    if rule == "many_cards_from_address":
        return _network(payment.client_ip) or f"unnamed#{caller}"
    if rule == "many_small_payments_in_bin":
        return f"{caller}#{payment.card_number.issuer_fingerprint(key)}"
    return caller


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
