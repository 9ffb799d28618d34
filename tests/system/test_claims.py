"""Claims of cores and cards: one holder at a time, all or nothing, and what was held before stays held."""

from __future__ import annotations

import pytest

from mglubench.errors import UnavailableError
from mglubench.system.claims import Claims


def test_a_claim_that_fails_gives_back_its_own_part_and_no_earlier_one(tmp_path):
    first, second = Claims(tmp_path), Claims(tmp_path)
    assert first.take(["a", "b"], 1) == ["a"]
    with pytest.raises(UnavailableError, match="0 of 1 wanted are free of a; other workers hold the rest"):
        first.take(["a"], 1)
    with pytest.raises(UnavailableError, match="1 of 2 wanted"):
        second.take(["a", "b"], 2)
    assert second.take(["a", "b"], 1) == ["b"]
    first.release()
    assert second.take(["a"], 1) == ["a"]
