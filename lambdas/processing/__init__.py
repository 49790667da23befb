"""``POST /process``: make this payment, exactly once."""
