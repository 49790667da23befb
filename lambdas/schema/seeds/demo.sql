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
