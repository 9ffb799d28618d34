"""What ``build``, ``inspect`` and ``tune`` share: architectures, numbers of masks and dtypes on the command line."""

from __future__ import annotations

from typing import Annotated

from mglubench.cli.options import WHOLE_NUMBERS, what
from mglubench.errors import UsageError
from mglubench.kernels.accepted_nm import LIBRARY_NMS, in_words

Arch = Annotated[str, what("Architectures, such as sm_80,sm_90a,sm_100a,sm_120a.")]
Nm = Annotated[str, what(f"Numbers of masks, {in_words(LIBRARY_NMS, 'or')}.", WHOLE_NUMBERS)]
Dtype = Annotated[
    str,
    what("float16, bfloat16, float32, or a format of weights: int8, int4, fp8-e4m3, mxfp4; where a kernel takes it."),
]


def archs(text: str) -> list[str]:
    """Architectures whose limits are known; raises :class:`UsageError` for others."""
    from mglubench.hardware.cuda_toolchain import architecture_name
    from mglubench.kernels.occupancy import limits_of

    names = [architecture_name(item) for item in items(text, "arch")]
    for name in names:
        limits_of(name)
    return names


def nms(text: str) -> list[int]:
    """Numbers of masks that libraries exist for; raises :class:`UsageError` for others."""
    from mglubench.cases.axes import parse_int
    from mglubench.cases.ranges import numbers_in

    numbers = [parse_int(value, "nm") for item in items(text, "nm") for value in numbers_in(item, "nm")]
    for value in numbers:
        if value not in LIBRARY_NMS:
            raise UsageError(f"nm must be {in_words(LIBRARY_NMS, 'or')}, got {value}")
    return numbers


def dtypes(text: str) -> list[str]:
    """Canonical names of dtypes, or of formats of W."""
    from mglubench.cases.vocabulary import SAME, WEIGHTS, WEIGHTS_ALIASES, dtype_name

    names = [WEIGHTS_ALIASES.get(item.lower(), item.lower()) for item in items(text, "dtype")]
    return [name if name in WEIGHTS and name != SAME else dtype_name(name) for name in names]


def items(text: str, what: str) -> list[str]:
    """The entries of a list, each once."""
    from mglubench.cases.config import as_list

    return list(dict.fromkeys(map(str, as_list(text, what))))
