"""The function that seals the books every hour."""
