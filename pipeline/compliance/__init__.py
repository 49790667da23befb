"""Compliance: the rule packs of every synthesis, and the findings that people have acknowledged."""
