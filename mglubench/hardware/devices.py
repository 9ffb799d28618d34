"""One device: what is known of it, as a run's header keeps it, with the datasheet's word where that has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, TypedDict, cast

from mglubench.errors import StoreError
from mglubench.hardware.cuda_toolchain import architecture_of
from mglubench.hardware.gpus import GpuData, gpu_of_device

Kind = Literal["cpu", "cuda"]
# Names that the headers of schema 1 use for these fields.
_STORED = {"sm_count": "multiprocessors", "card": "nvml", "at_start": "nvml_at_start"}


class Reading(TypedDict, total=False):
    """What a device is doing; a value that it does not tell is not there.

    Of a card clocks in MHz and ``throttle`` in words, of a CPU what
    :class:`~mglubench.hardware.cpu_readings.CpuReading` says, the pool that its threads are of, and whether they were
    bound to cores (1).
    """

    sm_mhz: int
    memory_mhz: int
    watts: float
    celsius: int
    throttle: list[str]
    cores: float
    waited: float
    stolen: float
    involuntary: float
    threads: int
    pool: str
    bound: int


@dataclass(frozen=True, slots=True)
class Card:
    """What NVML says of a card; ``None`` where it does not tell.

    Attributes:
        uuid: ``GPU-...``, of the whole card where the device is a slice of it. driver: its version.
        sm_mhz_max, memory_mhz_max: the highest clocks in MHz. mig, ecc: 1 where switched on.
    """

    name: str | None = None
    uuid: str | None = None
    driver: str | None = None
    memory_bytes: int | None = None
    sm_mhz_max: int | None = None
    memory_mhz_max: int | None = None
    power_limit_watts: float | None = None
    mig: int | None = None
    ecc: int | None = None

    def to_dict(self) -> dict[str, object]:
        """Plain values; what NVML did not tell is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, record: object) -> Card | None:
        """Of a device's record; ``None`` where NVML told nothing."""
        told = _table(record)
        if not told:
            return None
        return cls(
            name=_text(told, "name"),
            uuid=_text(told, "uuid"),
            driver=_text(told, "driver"),
            memory_bytes=_whole(told, "memory_bytes"),
            sm_mhz_max=_whole(told, "sm_mhz_max"),
            memory_mhz_max=_whole(told, "memory_mhz_max"),
            power_limit_watts=_number(told, "power_limit_watts"),
            mig=_whole(told, "mig"),
            ecc=_whole(told, "ecc"),
        )


@dataclass(frozen=True, slots=True)
class Device:
    """A CPU or a GPU, as it was found; ``None`` where it was not told.

    Attributes:
        kind: ``cpu`` or ``cuda``. name: as the machine reports it, empty if it does not.
        uuid: CUDA's, ``MIG-...`` for a slice of a card. capability: compute capability, ``major.minor``.
        memory_bytes, l2_bytes: of a GPU. cuda: the version that torch was built for. card, at_start: by NVML.
        torch_threads, numba_threads: that CPU work uses. cpu_capability: the widest instructions that torch uses.
        pages: ``huge`` or ``small``, that large tensors lie on.
    """

    kind: Kind
    name: str
    uuid: str | None = None
    capability: str | None = None
    memory_bytes: int | None = None
    sm_count: int | None = None
    l2_bytes: int | None = None
    cuda: str | None = None
    card: Card | None = None
    at_start: Reading | None = None
    torch_threads: int | None = None
    numba_threads: int | None = None
    cpu_capability: str | None = None
    pages: str | None = None

    @property
    def architecture(self) -> str | None:
        """What to compile for, such as ``sm_90a``; ``None`` for a device that tells no compute capability."""
        return architecture_of(*map(int, self.capability.split("."))) if self.capability else None

    @property
    def sold_as(self) -> GpuData | None:
        """The datasheet of a GPU, if it is known."""
        return gpu_of_device(self.name) if self.kind == "cuda" else None

    @property
    def l2_size(self) -> float | None:
        """Bytes of a GPU's L2: what CUDA says, else the datasheet's."""
        if self.kind != "cuda":
            return None
        size = self.l2_bytes or (self.sold_as.l2_bytes if self.sold_as else None)
        return float(size) if size else None

    @property
    def peak_gb_per_s(self) -> float | None:
        """Datasheet bandwidth of a GPU in GB/s, if it is known."""
        return self.sold_as.bandwidth / 1e9 if self.sold_as else None

    def to_dict(self) -> dict[str, object]:
        """Plain values under the names of schema 1; what is not known is left out."""
        values = {_STORED.get(name, name): value for name, value in asdict(self).items() if value is not None}
        return values | ({"nvml": self.card.to_dict()} if self.card else {})

    @classmethod
    def from_dict(cls, record: object) -> Device:
        """What a header, or another process, says of a device; an optional value of a wrong type is left out.

        Raises:
            StoreError: no record of a device.
        """
        if not isinstance(record, Mapping):
            raise StoreError(f"{record!r} is no record of a device")
        kind = record.get("kind")
        if kind not in ("cpu", "cuda"):
            raise StoreError(f"a device of kind {kind!r}: known are cpu and cuda")
        at_start = _table(record.get("nvml_at_start"))
        return cls(
            kind=kind,
            name=_text(record, "name") or "",
            uuid=_text(record, "uuid"),
            capability=_text(record, "capability"),
            memory_bytes=_whole(record, "memory_bytes"),
            sm_count=_whole(record, "multiprocessors"),
            l2_bytes=_whole(record, "l2_bytes"),
            cuda=_text(record, "cuda"),
            card=Card.from_dict(record.get("nvml")),
            at_start=cast(Reading, at_start) or None,
            torch_threads=_whole(record, "torch_threads"),
            numba_threads=_whole(record, "numba_threads"),
            cpu_capability=_text(record, "cpu_capability"),
            pages=_text(record, "pages"),
        )


def devices_in(environment: Mapping[str, object]) -> dict[str, Device]:
    """The devices that a run's environment names, by torch's name for them; empty where it names none.

    Raises:
        StoreError: something there is no record of a device.
    """
    devices = environment.get("devices", {})
    if not isinstance(devices, Mapping):
        raise StoreError(f"devices are {devices!r}, not records by name")
    return {str(device): Device.from_dict(record) for device, record in devices.items()}


def _table(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, Mapping) else {}


def _text(record: Mapping[str, object], key: str) -> str | None:
    value = record.get(key)
    return value if isinstance(value, str) else None


def _number(record: Mapping[str, object], key: str) -> float | None:
    value = record.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(record: Mapping[str, object], key: str) -> int | None:
    value = _number(record, key)
    return value if isinstance(value, int) else None
