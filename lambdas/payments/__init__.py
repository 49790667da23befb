"""The payment domain: money, cards, customers, fraud, transactions, audit. It knows neither HTTP nor AWS."""
