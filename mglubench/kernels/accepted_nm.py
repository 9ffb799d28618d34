"""How many masks the kernel libraries of ``kernels_cuda/`` can be compiled for, and how such a set is said in words."""

from __future__ import annotations

from collections.abc import Iterable

# The numbers of masks for which the kernels have loads and registers laid out; MGLU_NM of kernels_cuda/config.cuh.
LIBRARY_NMS: tuple[int, ...] = (*range(1, 9), 16)


def in_words(numbers: Iterable[int], last: str = "and") -> str:
    """``1 to 8 and 16``: ascending numbers, three and more in a row as a span, ``last`` before the last part."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    parts = []
    for span in spans:
        parts += [f"{span[0]} to {span[-1]}"] if len(span) > 2 else [str(number) for number in span]
    return f" {last} ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)
