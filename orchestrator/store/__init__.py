"""Where outcomes are kept: tables and the ledger that writes them."""
