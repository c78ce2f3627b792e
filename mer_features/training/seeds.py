"""Seeds of the parts of a run."""

from __future__ import annotations

import hashlib


def derived_seed(seed: int, fold: str) -> int:
    """Seed of one fold, 0 .. 2³² - 1: the same whatever other folds run in the job or in which order."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{fold}".encode(), digest_size=4).digest(), "big")
