"""How the payment domain reaches AWS and PostgreSQL. The SDK is imported at first use, not when a function loads."""
