-- The database of a company's card system in its own data centre, schema "public". Its lists and objects are texts, as
-- they are in many such systems: AWS DMS writes a text as it is, and says nothing certain about arrays.

CREATE TABLE customers (
    customer_id text PRIMARY KEY,
    status text NOT NULL,                        -- active, blocked, closed
    country char(2) NOT NULL,                    -- ISO 3166-1 alpha-2
    allowed_currencies text NOT NULL,            -- 'EUR,USD': ISO 4217, in any order
    payment_limits text NOT NULL DEFAULT '{}',   -- '{"EUR": 250000}': largest single payment, in minor units
    spending_limits text NOT NULL DEFAULT '{}',  -- '{"day": 500000, "month": 9000000}': minor units of USD
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE merchants (
    merchant_id text PRIMARY KEY,
    status text NOT NULL,                        -- active, suspended, closed
    allowed_currencies text NOT NULL,            -- 'EUR,USD'
    limits text NOT NULL DEFAULT '{}',           -- '{"payment": 500000, "day": 10000000}': minor units of USD
    required_fields text NOT NULL DEFAULT '',    -- 'card_expiry,client_ip,country,merchant_reference', or fewer
    platform_wide boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE merchant_customers (
    merchant_id text NOT NULL REFERENCES merchants,
    customer_id text NOT NULL REFERENCES customers,
    PRIMARY KEY (merchant_id, customer_id)
);

-- Nothing refers to the customers of payments: the oldest payments outlived some of them.
CREATE TABLE payments (
    payment_id text PRIMARY KEY,                 -- 'old-00000000000000001'
    created_at timestamptz NOT NULL DEFAULT now(),
    merchant_id text NOT NULL,
    customer_id text NOT NULL,
    amount numeric(15, 3) NOT NULL,              -- major units: 12.500
    currency char(3) NOT NULL,
    card_number text NOT NULL,                   -- 12 to 19 digits
    card_expiry char(7),                         -- '2027-09'
    status text NOT NULL,                        -- approved, review, declined
    reasons text NOT NULL DEFAULT '',            -- 'country_mismatch,amount_over_limit'
    merchant_reference text,
    client_ip text,
    country char(2),                             -- of the payer's location
    idempotency_key text NOT NULL,
    UNIQUE (merchant_id, idempotency_key)
);
CREATE INDEX payments_by_day ON payments (created_at);
