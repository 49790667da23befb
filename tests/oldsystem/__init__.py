"""The company's old card system, which tests and rehearsals move: PostgreSQL, a payment service, an exporter."""
