"""The runner beside other harnesses on the same rows and the same server: ``python -m benchmarks.harnesses``."""
