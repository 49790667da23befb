-- expand
-- The most in 24 hours ("day") and 30 days ("month"), in minor units of the base currency. Absent ones are the platform's.
ALTER TABLE customers ADD COLUMN spending_limits jsonb NOT NULL DEFAULT '{}';

CREATE TABLE merchants (
    merchant_id text PRIMARY KEY,
    status text NOT NULL CHECK (status IN ('active', 'suspended', 'closed')),
    allowed_currencies text[] NOT NULL,
    -- The largest "payment" and the most in a "day", in minor units of the base currency.
    limits jsonb NOT NULL DEFAULT '{}',
    -- Fields that the contract lets out, and that this merchant must send.
    required_fields text[] NOT NULL DEFAULT '{card_expiry,client_ip,country}'
        CHECK (required_fields <@ '{card_expiry,client_ip,country,merchant_reference}'),
    -- Whether every customer may pay this merchant; else only those in merchant_customers.
    platform_wide boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE merchant_principals (
    -- The ARN of an IAM user or role without its path, or an account's number for all principals of the account.
    principal text PRIMARY KEY,
    merchant_id text NOT NULL REFERENCES merchants
);

CREATE TABLE merchant_customers (
    merchant_id text NOT NULL REFERENCES merchants,
    customer_id text NOT NULL REFERENCES customers,
    PRIMARY KEY (merchant_id, customer_id)
);
