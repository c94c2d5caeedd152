"""The page ``/review`` on which a pharmacist works the escalation queue: rendered here, usable without a script."""

from serve.review_page.door import KeyVerifier, Opened
from serve.review_page.router import review_page

__all__ = ["KeyVerifier", "Opened", "review_page"]
