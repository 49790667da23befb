"""Customers in Aurora PostgreSQL, read through the reader endpoint."""

from lambdas.adapters.database import Database
from lambdas.payments.customers import Customer

_SELECT = """
SELECT status, country, allowed_currencies, payment_limits FROM customers WHERE customer_id = :customer_id
"""


class PostgresCustomers:
    """``customers.Customers`` on the table ``customers``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, customer_id: str) -> Customer | None:
        rows = self._database.query(_SELECT, customer_id=customer_id)
        if not rows:
            return None
        status, country, currencies, limits = rows[0]
        return Customer(
            customer_id=customer_id,
            status=status,
            country=country,
            allowed_currencies=frozenset(currencies),
            payment_limits=limits,
        )
