-- The load test's customers, in every environment.
INSERT INTO customers (customer_id, status, country, allowed_currencies)
SELECT 'load-' || lpad(n::text, 5, '0'), 'active', 'US', :currencies
FROM generate_series(1, 2000) AS n
ON CONFLICT (customer_id) DO UPDATE SET status = 'active', allowed_currencies = excluded.allowed_currencies;
