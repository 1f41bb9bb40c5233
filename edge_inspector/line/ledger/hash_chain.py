"""The chain that holds records together: each carries a digest of itself and of the one before it."""

import hashlib
import json

START = "0" * 64
"""Stands before the first record of a ledger."""


def chained(previous: str, *values: str | int | None) -> str:
    """Return the digest (sha256, hex) of a record's values and of the digest before it."""
    return hashlib.sha256(json.dumps([previous, *values], ensure_ascii=False).encode()).hexdigest()
