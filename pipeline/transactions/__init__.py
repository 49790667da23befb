"""Look-ups, decisions and reversals of payments by people: ``python -m pipeline.transactions``."""
