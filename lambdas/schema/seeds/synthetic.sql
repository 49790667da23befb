-- The load test's customers, in every environment.
INSERT INTO customers (customer_id, status, country, allowed_currencies)
SELECT 'load-' || lpad(n::text, 5, '0'), 'active', 'US', :currencies
FROM generate_series(1, 2000) AS n
ON CONFLICT (customer_id) DO UPDATE SET status = 'active', allowed_currencies = excluded.allowed_currencies;

-- Their merchant, which no other customer can pay.
INSERT INTO merchants (merchant_id, status, allowed_currencies, required_fields, platform_wide)
VALUES ('synthetic', 'active', :currencies, '{}', false)
ON CONFLICT (merchant_id) DO UPDATE SET allowed_currencies = excluded.allowed_currencies;

INSERT INTO merchant_customers (merchant_id, customer_id)
SELECT 'synthetic', 'load-' || lpad(n::text, 5, '0') FROM generate_series(1, 2000) AS n
ON CONFLICT DO NOTHING;

-- The roles of the release, and the account's root, as which nothing but a local cloud calls the API.
INSERT INTO merchant_principals (principal, merchant_id)
SELECT unnest(CAST(:synthetic_principals AS text[])), 'synthetic'
ON CONFLICT DO NOTHING;
