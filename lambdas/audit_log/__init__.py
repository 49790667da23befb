"""The operator's view of the audit log: ``python -m lambdas.audit_log verify --env dev --day 2026-01-31``."""
