"""Loads the customers and merchants of another payment system from files, and applies the changes that follow."""
