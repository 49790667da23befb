-- expand
CREATE TABLE customers (
    customer_id text PRIMARY KEY,
    status text NOT NULL CHECK (status IN ('active', 'blocked', 'closed')),
    country char(2) NOT NULL,
    allowed_currencies text[] NOT NULL,
    -- Largest single payment by currency, in minor units; a currency that is absent has the platform's limit.
    payment_limits jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
