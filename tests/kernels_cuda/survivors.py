"""Why a planted bug may live, by the names that mutants.py prints.

``equivalent`` means the same; ``speed`` changes no result, only how it comes about; ``size`` needs a problem beyond
what a test (or a GPU) can hold. Only the first kind is left out of the share that was found.
"""

from __future__ import annotations

_SIZE = "size: an index in 32 bits fails from 2^31 elements of y on, 134 million rows at 16 tokens"
_LEAVES = "speed: lanes leave the unrolled loop at other times, the loop behind it takes what they left"

SURVIVORS = {
    "1770b294": _SIZE,
    "1ab6d6b1": _SIZE,
    "1a178004": _SIZE,
    "1938c10a": _SIZE,
    "7c257e7c": "speed: masks that nobody keeps are multiplied all the same",
    "9da678ef": "size: an index in 32 bits fails from 2^31 sums on",
    "ef223f19": "size: a tile of 2^31 bytes of codes",
    "5ac31b2f": "size: 2^31 parts of tiles",
    "1934056a": "size: a workspace of 2^31 partial sums, 8 GB",
    "547230ef": "equivalent: steps of 17, 8, 4, 2 and 1 reach every lane as well, and `or` may meet one twice",
    "d087e15d": "speed: x is loaded element by element",
    "e8b4e9cb": "speed: one register stage where there could be two",
    "eb607563": "speed: a chosen 0 is added where AVX-512 masks the addition",
    "8914865e": _LEAVES,
    "31079463": _LEAVES,
}
