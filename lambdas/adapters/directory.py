"""Merchants and customers in Aurora PostgreSQL, read through the reader endpoint in one query."""

from lambdas.adapters.database import Database
from lambdas.payments.callers import Caller
from lambdas.payments.customers import Customer
from lambdas.payments.merchants import Merchant, Parties

# A merchant that is not platform-wide has customers of its own.
_SELECT = """
SELECT m.merchant_id, m.status, m.allowed_currencies, m.limits, m.required_fields, m.takes,
       c.status, c.country, c.allowed_currencies, c.payment_limits, c.spending_limits, c.synthetic
FROM merchants m
LEFT JOIN customers c ON c.customer_id = :customer_id AND (
    m.platform_wide OR EXISTS (
        SELECT 1 FROM merchant_customers own
        WHERE own.merchant_id = m.merchant_id AND own.customer_id = c.customer_id
    )
)
WHERE m.merchant_id = """
# The principal itself comes before its account.
_OF_CALLER = """(
    SELECT merchant_id FROM merchant_principals WHERE principal IN (:principal, :account)
    ORDER BY principal = :principal DESC LIMIT 1
)"""
_NAMED = ":merchant_id"


class PostgresDirectory:
    """``merchants.Directory`` on the tables ``merchants`` and ``customers``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, caller: Caller, customer_id: str) -> Parties | None:
        if caller.shadow_of is None:
            sql, of = _SELECT + _OF_CALLER, {"principal": caller.principal_arn, "account": caller.account}
        else:
            sql, of = _SELECT + _NAMED, {"merchant_id": caller.shadow_of}
        rows = self._database.query(sql, customer_id=customer_id, **of)
        if not rows:
            return None
        merchant_id, status, currencies, limits, required, takes, *customer = rows[0]
        merchant = Merchant(
            merchant_id=merchant_id,
            status=status,
            allowed_currencies=frozenset(currencies),
            limits=limits,
            required_fields=frozenset(required),
            takes=takes,
        )
        return Parties(merchant=merchant, customer=_customer(customer_id, *customer) if customer[0] else None)


def _customer(
    customer_id: str,
    status: str,
    country: str,
    currencies: list[str],
    payment_limits: dict[str, int],
    spending_limits: dict[str, int],
    synthetic: bool,
) -> Customer:
    return Customer(
        customer_id=customer_id,
        status=status,
        country=country,
        allowed_currencies=frozenset(currencies),
        payment_limits=payment_limits,
        spending_limits=spending_limits,
        synthetic=synthetic,
    )
