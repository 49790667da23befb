"""The source of the figures in the documentation. Each module is one benchmark: ``python -m benchmarks.NAME``."""
