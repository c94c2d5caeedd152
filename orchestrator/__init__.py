"""Sort a customer message with one LLM call, then carry out the workflow of its category.

Nothing heavy is imported here; take what you need from its module, for instance
``from orchestrator.engine import Orchestrator``.
"""
