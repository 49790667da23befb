"""The function that finishes payments which a crash left pending."""
