"""Verification of the audit log: ``python -m pipeline.audit verify --env dev --day 2026-01-31``."""
