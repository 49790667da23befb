"""Compliance: rule packs that every synthesis runs and that fail it, and the findings that people acknowledged."""
