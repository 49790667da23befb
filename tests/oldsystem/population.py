"""Made-up people, shops and payments for the old system. The same numbers give the same rows."""

from typing import Any

_CARD = """
CREATE OR REPLACE FUNCTION pg_temp.card(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT prefix || (10 - sum(
        CASE WHEN i % 2 = 1 THEN (ARRAY[0, 2, 4, 6, 8, 1, 3, 5, 7, 9])[digit + 1] ELSE digit END
    ) % 10) % 10
    FROM (SELECT '4' || lpad(n::text, 14, '0') AS prefix) AS made,
         generate_series(1, 15) AS i, LATERAL (SELECT substr(prefix, i, 1)::int AS digit) AS each
    GROUP BY prefix
$$
"""
"""The Visa number whose 14 middle digits are ``n``, with its check digit."""

_CUSTOMERS = """
INSERT INTO customers (customer_id, status, country, allowed_currencies, payment_limits, spending_limits, created_at)
SELECT 'c-' || lpad(n::text, 7, '0'),
       CASE WHEN n % 50 = 0 THEN 'blocked' WHEN n % 77 = 0 THEN 'closed' ELSE 'active' END,
       (ARRAY['US', 'DE', 'GB', 'JP', 'FR'])[1 + n % 5],
       (ARRAY['USD,EUR,GBP,JPY', 'EUR,USD', 'GBP,EUR'])[1 + n % 3],
       CASE WHEN n % 10 = 0 THEN '{"EUR": 25000, "USD": 30000}' ELSE '{}' END,
       CASE WHEN n % 20 = 0 THEN '{"month": 9000000, "day": 500000}' ELSE '{}' END,
       timestamptz '2021-03-01 08:00:00.123456+00' + n * interval '7 minutes'
FROM generate_series(1, CAST(:customers AS int)) AS n
"""

_MERCHANTS = """
INSERT INTO merchants (merchant_id, status, allowed_currencies, limits, required_fields, platform_wide, created_at)
SELECT 'm-' || lpad(n::text, 3, '0'), CASE WHEN n % 9 = 0 THEN 'suspended' ELSE 'active' END,
       'EUR,GBP,JPY,USD', CASE WHEN n % 2 = 0 THEN '{"payment": 500000}' ELSE '{}' END,
       CASE WHEN n % 3 = 0 THEN 'country' ELSE '' END, n = 1,
       timestamptz '2020-01-01 00:00:00+00' + n * interval '1 day'
FROM generate_series(1, CAST(:merchants AS int)) AS n
"""

_SERVED = """
INSERT INTO merchant_customers (merchant_id, customer_id)
SELECT merchant_id, customer_id FROM customers
JOIN LATERAL (SELECT merchant_id FROM merchants WHERE NOT platform_wide
              ORDER BY md5(merchant_id || customer_id) LIMIT 1) AS one ON true
"""

_PAYMENTS = """
INSERT INTO payments (payment_id, created_at, merchant_id, customer_id, amount, currency, card_number, card_expiry,
                      status, reasons, merchant_reference, client_ip, country, idempotency_key)
SELECT 'old-' || lpad(n::text, 17, '0'), CAST(:until AS timestamptz) - (:payments - n) * interval '20 seconds',
       'm-001', 'c-' || lpad((1 + n % :customers)::text, 7, '0'),
       CASE WHEN n % 4 = 3 THEN 100 + n % 9000 ELSE (100 + n % 20000) / 100.0 END,
       (ARRAY['EUR', 'USD', 'GBP', 'JPY'])[1 + n % 4], pg_temp.card(1 + n % (2 * CAST(:customers AS int))), '2031-12',
       CASE WHEN n % 40 = 0 THEN 'declined' WHEN n % 97 = 0 THEN 'review' ELSE 'approved' END,
       CASE WHEN n % 40 = 0 THEN 'amount_over_limit' WHEN n % 97 = 0 THEN 'customer_velocity_count' ELSE '' END,
       CASE WHEN n % 3 = 0 THEN 'order-' || n END, CASE WHEN n % 2 = 0 THEN '198.51.100.' || n % 250 END,
       CASE WHEN n % 5 = 0 THEN 'US' END, 'key-' || n
FROM generate_series(1, CAST(:payments AS int)) AS n
"""


def populate(
    connection: Any, *, customers: int = 100, merchants: int = 3, payments: int = 0, until: str = "2026-11-01T00:00:00Z"
) -> None:
    """Fill the empty tables. The last payment was made at ``until``. Merchant ``m-001`` serves every customer."""
    connection.run("START TRANSACTION")
    connection.run(_CARD)
    connection.run(_CUSTOMERS, customers=customers)
    connection.run(_MERCHANTS, merchants=merchants)
    connection.run(_SERVED)
    if payments:
        connection.run(_PAYMENTS, payments=payments, customers=customers, until=until)
    connection.run("COMMIT")
