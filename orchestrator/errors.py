"""The errors a user can mend. Each message says what is wrong, where, and what to do.

OrchestratorError
├── PromptError       a prompt file cannot be loaded or rendered
├── CatalogueError    a model is unknown, or its key is not set
├── ReleaseError      the champion is missing or was tampered with
├── InputError        a message cannot be accepted
├── KeysError         an encryption or signing key is missing, or does not fit
├── ConflictError     somebody else has done it, or it was done otherwise before
├── QueueFullError    so many messages wait already: nothing was accepted, try again later
└── StoreUnavailableError   the database does not answer, is full or is read-only: nothing was accepted, try again
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


class KeysError(OrchestratorError):
    """An encryption or signing key is missing, or does not fit what it shall open."""


class ConflictError(OrchestratorError):
    """What is asked for contradicts what was done before: an idempotency key of another message, an escalation of somebody else's."""


class QueueFullError(OrchestratorError):
    """So many messages wait that no more are taken. Nothing was accepted; the same request may be made again later."""


class StoreUnavailableError(OrchestratorError):
    """The database does not answer, is full or is read-only. Nothing was acknowledged; the same request may be made again."""
