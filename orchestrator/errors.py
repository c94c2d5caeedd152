"""The errors a user can mend. Each message says what is wrong, where, and what to do.

OrchestratorError
├── PromptError       a prompt file cannot be loaded or rendered
├── CatalogueError    a model is unknown, or its key is not set
├── ReleaseError      the champion is missing or was tampered with
└── InputError        a message cannot be accepted
"""


class OrchestratorError(Exception):
    """Base of all errors a user can mend."""


class PromptError(OrchestratorError):
    """A prompt file cannot be loaded or rendered."""


class CatalogueError(OrchestratorError):
    """A model is unknown to the catalogue, or what it needs is not configured."""


class ReleaseError(OrchestratorError):
    """The champion bundle is missing, incomplete or changed after promotion."""


class InputError(OrchestratorError):
    """A message cannot be accepted; the text says why."""
