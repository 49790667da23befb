"""The HTTP side of the functions: contract, requests, answers, problems."""
