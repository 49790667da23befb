"""The HTTP layer of the functions: contract, requests, answers, problems."""
