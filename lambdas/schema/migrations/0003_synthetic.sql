-- expand
-- Whether the customer is made up, for load tests. Nobody but a merchant that takes them is paid by these.
ALTER TABLE customers ADD COLUMN synthetic boolean NOT NULL DEFAULT false;

-- Whose payments the merchant takes: those of real customers, of synthetic ones, or (to try things, outside prod) any.
ALTER TABLE merchants ADD COLUMN takes text NOT NULL DEFAULT 'real' CHECK (takes IN ('real', 'synthetic', 'any'));
