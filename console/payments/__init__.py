"""Payments: look-ups and decisions by the API's own routes for people, and the verification of a day's books."""
