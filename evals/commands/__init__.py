"""The verbs of ``python -m evals``: what each prints and returns."""
