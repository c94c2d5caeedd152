"""Measure the parts behind the three workflows: retrieval, intents and slots, severity, personal data.

Each module has ``evaluate(datasets) -> figures`` (plain JSON) and ``render(figures) -> Markdown``.
"""
