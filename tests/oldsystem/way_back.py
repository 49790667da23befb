"""What the old system does with payments that were taken while the traffic was at the platform: it takes them over."""

import csv
import json
from pathlib import Path
from typing import Any

from migration.export import FILE, MANIFEST, sha256

_TAKE = """
INSERT INTO payments (payment_id, created_at, merchant_id, customer_id, amount, currency, card_number, status, reasons,
                      merchant_reference, client_ip, country, idempotency_key)
VALUES (:payment_id, CAST(:created_at AS timestamptz), :merchant_id, :customer_id, CAST(:amount AS numeric), :currency,
        '****' || :card_last4, :status, :reasons, nullif(:merchant_reference, ''), nullif(:client_ip, ''),
        nullif(:country, ''), :payment_id)
ON CONFLICT (payment_id) DO UPDATE SET status = excluded.status
"""


def take_back(connection: Any, folder: Path) -> int:
    """Take over the payments of the file in ``folder``, all or none; returns how many. It may be done again.

    Raises ``ValueError`` for a file that is not what its manifest says. This system knows no refunds: it does without
    ``refunded_amount``.
    """
    manifest = json.loads((folder / MANIFEST).read_text())
    with (folder / FILE).open(newline="", encoding="utf-8") as file:
        payments = list(csv.DictReader(file))
    if (sha256(folder / FILE), len(payments)) != (manifest["sha256"], manifest["payments"]):
        raise ValueError("the file is not what its manifest says")
    connection.run("START TRANSACTION")
    try:
        for payment in payments:
            connection.run(_TAKE, **payment)
    except BaseException:
        connection.run("ROLLBACK")
        raise
    connection.run("COMMIT")
    return len(payments)
