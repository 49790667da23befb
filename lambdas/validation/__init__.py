"""``POST /validate``: could this payment be made?"""
