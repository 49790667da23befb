import pipeline  # noqa: F401 - it explains a missing package
