"""``POST /process``: process a payment exactly once."""
