"""``POST /validate``: check whether a payment could be made."""
