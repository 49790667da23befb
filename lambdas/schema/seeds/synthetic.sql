-- The load test's customers, in every environment. A status that somebody has set since stays.
INSERT INTO customers (customer_id, status, country, allowed_currencies, synthetic)
SELECT 'load-' || lpad(n::text, 5, '0'), 'active', 'US', :currencies, true
FROM generate_series(1, 2000) AS n
ON CONFLICT (customer_id) DO UPDATE SET allowed_currencies = excluded.allowed_currencies, synthetic = true;

-- Their merchant, which no other customer can pay.
INSERT INTO merchants (merchant_id, status, allowed_currencies, required_fields, platform_wide, takes)
VALUES ('synthetic', 'active', :currencies, '{}', false, 'synthetic')
ON CONFLICT (merchant_id) DO UPDATE SET allowed_currencies = excluded.allowed_currencies, takes = excluded.takes;

INSERT INTO merchant_customers (merchant_id, customer_id)
SELECT 'synthetic', 'load-' || lpad(n::text, 5, '0') FROM generate_series(1, 2000) AS n
ON CONFLICT DO NOTHING;

-- The roles of the release, and the account's root, as which nothing but a local cloud calls the API.
INSERT INTO merchant_principals (principal, merchant_id)
SELECT unnest(CAST(:synthetic_principals AS text[])), 'synthetic'
ON CONFLICT DO NOTHING;
