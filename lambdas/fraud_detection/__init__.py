"""``POST /fraud-check``: what do the fraud rules say of this payment?"""
