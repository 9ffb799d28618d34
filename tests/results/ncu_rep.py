"""Write an ``.ncu-rep``: the file format that NVIDIA documents, by hand; every figure in it is synthetic.

Source: Nsight Compute, Customization Guide, "Report File Format" (version 7) and ``extras/FileFormat/*.proto``: a magic
number and a header, then blocks, each a header and its length-prefixed results; messages are Protocol Buffers.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MAGIC, VERSION = b"NVR\0", 7
PROCESS, THREAD = 4242, 7


@dataclass(frozen=True)
class Launch:
    """One profiled kernel: the push/pop ranges that it ran in by domain, and its metrics."""

    name: str
    ranges: Mapping[str, Sequence[str]]
    metrics: Mapping[str, float] = field(default_factory=dict)


def report(launches: Sequence[Launch]) -> bytes:
    """The bytes of a report of one process."""
    names = ["", *sorted({name for launch in launches for name in launch.metrics})]
    results = [_result(number, launch, names) for number, launch in enumerate(launches, 1)]
    payload = b"".join(_sized(result) for result in results)
    strings = b"".join(_text(1, name) for name in names)
    process = _number(1, PROCESS) + _text(3, "python3")
    header = b"".join(
        (
            _number(1, 0),  # sources
            _number(2, len(results)),
            _message(3, _number(1, PROCESS)),  # session
            _message(4, strings),
            _number(5, len(payload)),
            _message(6, process),
        )
    )
    return MAGIC + _sized(_number(1, VERSION)) + _sized(header) + payload


def _result(number: int, launch: Launch, names: Sequence[str]) -> bytes:
    metrics = (
        _message(13, _number(1, names.index(name)) + _message(2, _double(3, value)))
        for name, value in launch.metrics.items()
    )
    return b"".join(
        (
            *(_number(1, THREAD), _number(2, number), _number(3, 1), _number(4, number)),
            *(_text(5, launch.name), _text(6, launch.name), _text(7, f"{launch.name}(void)")),
            _number(8, 3),
            *(
                _message(place, _number(1, size)) for place, size in ((9, 0), (10, 512), (11, 128))
            ),  # offset, grid, block
            *metrics,
            _message(15, _number(1, 1)),  # source
            _message(21, _nvtx(launch.ranges)),
            *(_number(22, 1), _number(23, 7)),  # context, stream
        )
    )


def _nvtx(ranges: Mapping[str, Sequence[str]]) -> bytes:
    """The state of the NVTX ranges around a launch: names of domains, then the stacks of one thread."""
    domains = b"".join(_message(1, _number(1, k) + _text(2, name)) for k, name in enumerate(ranges, 1))
    stacks = b"".join(
        _message(2, _number(1, k) + b"".join(_message(3, _text(1, name)) for name in stack))
        for k, stack in enumerate(ranges.values(), 1)
    )
    return domains + _message(2, _number(1, THREAD) + stacks)


def _sized(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def _number(place: int, value: int) -> bytes:
    return _varint(place << 3) + _varint(value)


def _double(place: int, value: float) -> bytes:
    return _varint(place << 3 | 1) + struct.pack("<d", value)


def _message(place: int, content: bytes) -> bytes:
    return _varint(place << 3 | 2) + _varint(len(content)) + content


def _text(place: int, value: str) -> bytes:
    return _message(place, value.encode())
