"""The payment domain: money, cards, customers, fraud, transactions, audit. It depends on neither HTTP nor AWS."""
