"""Load gates: the one that runs, and the earlier ones with their reports."""
