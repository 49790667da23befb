-- People to try things with, outside prod. cust-10049 is blocked, cust-10050 closed, cust-10048 has a low limit.
INSERT INTO customers (customer_id, status, country, allowed_currencies, payment_limits)
SELECT
    'cust-' || n,
    CASE n WHEN 10049 THEN 'blocked' WHEN 10050 THEN 'closed' ELSE 'active' END,
    (ARRAY['US', 'DE', 'GB', 'JP', 'FR'])[1 + n % 5],
    :currencies,
    CASE n WHEN 10048 THEN '{"USD": 5000, "EUR": 5000}'::jsonb ELSE '{}'::jsonb END
FROM (SELECT generate_series(10001, 10050) UNION SELECT 12345) AS numbers (n)
ON CONFLICT (customer_id) DO NOTHING;

-- Their merchant, for every principal of the account that is no merchant's own. IAM decides who may call the API.
INSERT INTO merchants (merchant_id, status, allowed_currencies, required_fields, platform_wide, takes)
VALUES ('demo', 'active', :currencies, '{}', true, 'any')
ON CONFLICT (merchant_id) DO UPDATE SET allowed_currencies = excluded.allowed_currencies, takes = excluded.takes;

INSERT INTO merchant_principals (principal, merchant_id)
SELECT unnest(CAST(:demo_principals AS text[])), 'demo'
ON CONFLICT (principal) DO UPDATE SET merchant_id = excluded.merchant_id;
