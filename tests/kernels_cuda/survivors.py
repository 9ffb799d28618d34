"""Why a planted bug may live: by the names that mutants.py prints."""

from __future__ import annotations

SURVIVORS: dict[str, str] = {}
