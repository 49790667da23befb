"""The payment domain's access to AWS and PostgreSQL. The SDK is imported at first use, not when a function loads."""
