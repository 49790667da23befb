"""The books: ledger, audit log and seals. Each is held against the others."""
