"""Who may sign in to the review page: holders of an API key with the scope review."""

from __future__ import annotations

from serve.access.key import ApiKey
from serve.access.keys import ApiKeys
from serve.client import Client, Scope
from serve.review_page.door import Opened


class ReviewKeys:
    """The page's view of the API keys. A session lives no longer than its key."""

    def __init__(self, keys: ApiKeys) -> None:
        """Look keys up in ``keys``."""
        self._keys = keys

    async def __call__(self, key: str) -> Opened | None:
        """Return whose key this is; None where it is nobody's, or no longer."""
        await self._keys.refresh()
        found, parsed = self._keys.find(key), ApiKey.parse(key)
        return Opened(parsed.id, found) if parsed and isinstance(found, Client) else None

    async def still_valid(self, key_id: str) -> bool:
        """Say whether a key that opened a session may still review."""
        await self._keys.refresh()
        return self._keys.may(key_id, Scope.REVIEW)
