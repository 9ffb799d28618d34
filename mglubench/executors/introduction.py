"""Who a worker is: what it says of itself before cases are sent to it, so that code of another age is not misread.

A worker may run from another checkout or another Python than this process (:class:`Launch`): the other side of a
comparison. It is asked for its protocol first. :data:`PROTOCOL` is raised whenever a request or a reply changes its
meaning, or gets a field that an older side would not know.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Self

import msgspec

from mglubench.hardware.environment import host_record
from mglubench.system.resources import PACKAGE, data_folder

PROTOCOL = 1
_SOURCES = ("*.cu", "*.cuh", "*.h")
# Of a host's record, what another Python or checkout says of itself.
_OWN = ("python", "packages", "git", "variables")


@dataclass(frozen=True, slots=True)
class Launch:
    """How a worker is started.

    Attributes:
        python: its interpreter. flags: of that. env: variables beside those of this process. name: what the user
            called its code; empty for this process's own. package: folder that its mglubench must come from, if any.
    """

    python: str = sys.executable
    flags: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    package: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """What a worker says of itself.

    Attributes:
        protocol: that it speaks. package: folder of its mglubench. digest: of all that is in there and of the kernels.
        python, packages, git, variables: as in a host's record.
    """

    protocol: int
    package: str
    digest: str
    python: str
    packages: dict[str, str]
    git: dict[str, str | bool] | None
    variables: dict[str, str]

    @classmethod
    def here(cls) -> Self:
        """Of this process; raises ValueError if its record of the host is none."""
        own = {name: value for name, value in host_record().items() if name in _OWN}
        known = {"protocol": PROTOCOL, "package": str(PACKAGE), "digest": package_digest()}
        return cls.from_dict({**own, **known})

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Inverse of :meth:`to_dict`; raises ValueError for what is none."""
        return msgspec.convert(values, cls)

    def to_dict(self) -> dict[str, object]:
        """Plain values, for the pipe."""
        return asdict(self)

    def host(self) -> dict[str, object]:
        """What a run's environment says of it."""
        return {name: getattr(self, name) for name in _OWN}


@cache
def package_digest() -> str:
    """A hash of the package's modules and of the CUDA sources."""
    content = hashlib.sha256()
    kernels = data_folder("kernels_cuda")
    files = [(PACKAGE, path) for path in PACKAGE.rglob("*.py")]
    files += [(kernels, path) for pattern in _SOURCES for path in kernels.glob(pattern)]
    for root, path in sorted(files):
        content.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return content.hexdigest()[:16]


def why_cannot_talk(launch: Launch, told: Introduction | None) -> str | None:
    """Why cases cannot be sent to a worker of other code, in one line; ``None`` if they can.

    Args:
        told: what it said of itself; ``None`` if it did not understand the question.
    """
    if told is None:
        return (
            f"{launch.name}: its mglubench is too old to be asked by another one; "
            "measure it by its own `mglubench sweep`, and compare the runs"
        )
    if told.protocol != PROTOCOL:
        age = "older" if told.protocol < PROTOCOL else "newer"
        return (
            f"{launch.name}: its mglubench speaks the {age} protocol {told.protocol}, this one {PROTOCOL}; "
            "measure it by its own `mglubench sweep`, and compare the runs"
        )
    if launch.package and told.package != launch.package:
        return f"{launch.name}: its worker took mglubench from {told.package}, not from {launch.package}"
    return None
