"""Who may ask for what: API keys, the scopes of paths, headers that browsers obey."""

from serve.access.headers import DOCS_CSP, SECURITY_HEADERS, cors_arguments, security_headers, with_security_headers
from serve.access.keys import ApiKeys
from serve.access.middleware import Access
from serve.access.openapi import describe_access
from serve.access.refusal import Refusal
from serve.access.rules import RULES, Need, Rules

__all__ = [
    "DOCS_CSP",
    "RULES",
    "SECURITY_HEADERS",
    "Access",
    "ApiKeys",
    "Need",
    "Refusal",
    "Rules",
    "cors_arguments",
    "describe_access",
    "security_headers",
    "with_security_headers",
]
