"""Secrets Manager rotation of the application role's password."""
