"""``POST /fraud-check``: apply the fraud rules to a payment."""
