"""Custom resource: the customer database's schema, the application's role and the seeded customers."""
