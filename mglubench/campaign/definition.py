"""Campaign files: ordered steps and targets in TOML, checked as a whole before anything is measured.

::

    device = "cuda"

    [[step]]
    kind = "sweep"          # one of KINDS; a name tells two steps of a kind apart
    name = "paper"
    config = "paper"        # a sweep file to start from; the keys of a sweep override it
    mode = ["cold", "hot"]

    [targets]
    step = "paper"
    variants = ["flash-mglu-mma"]
    goal = [{ figure = "vs_glu", shape = "4096x14336", nm = [1, 2], least = [1.70, 1.60] }]
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mglubench.cases.axes import parse_int
from mglubench.cases.config import CAMPAIGN, KNOWN, as_list, build_spec, find_sweep, read_sweep
from mglubench.cases.sweep_spec import SweepSpec, parse_shape
from mglubench.cases.toml_file import line_in_table, line_of, read_toml
from mglubench.cases.vocabulary import device_name, one_of
from mglubench.errors import ConfigError, UsageError
from mglubench.system.resources import data_folder
from mglubench.variants.registry import check_names

# Options by kind, with their defaults. ``timeout``: seconds for one process; ``of``: the sweep step that it looks at.
_TUNE = {"variants": ["flash-mglu-mma"], "shape": ["2048x8192"], "nm": [1, 2, 4, 8], "batch": [1], "mode": ["cold"]}
OPTIONS: dict[str, dict[str, Any]] = {
    "doctor": {},
    "build": {"variants": [], "nm": [1, 2, 4, 8], "dtype": ["float16"], "timeout": 500.0},
    "verify": {"variants": [], "nm": [], "dtype": ["float16"], "timeout": 120.0},
    "sanitize": {
        "variants": [],
        "tools": ["memcheck", "racecheck", "initcheck", "synccheck"],
        "nm": [1, 8],
        "dtype": ["float16"],
        "jobs": 6.0,
        "timeout": 150.0,
    },
    "sweep": {},
    "profile": {"of": "", "mode": ["cold"], "variants": []},
    "tune": {**_TUNE, "dtype": ["float16"], "seconds": 0.1, "timeout": 240.0},
    "agree": {"of": "", "variants": [], "milliseconds": 100.0, "timeout": 300.0},
    "aa": {"repeats": 20.0},
    "render": {},
}
SWEEPS = ("sweep", "aa")
LOOKING = ("profile", "agree")
FIGURES = ("share_of_ceiling", "vs_glu", "vs_naive", "vs_slowest_naive")


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes:
        name: its key in the journal, and its folder. options: complete, see :data:`OPTIONS`. sweep: what ``sweep`` and
            ``aa`` measure.
    """

    kind: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    sweep: SweepSpec | None = None

    def to_dict(self) -> dict[str, object]:
        """Plain values, compared when a campaign is continued."""
        sweep = self.sweep.to_dict() if self.sweep else None
        return {"kind": self.kind, "name": self.name, "options": self.options, "sweep": sweep}


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure (a column of the derived frame) that one cell is to reach."""

    figure: str
    h: int
    d: int
    nm: int
    least: float


@dataclass(frozen=True, slots=True)
class Targets:
    """What the run of one sweep step is judged by; the best of ``variants`` counts. Empty texts filter nothing.

    Attributes:
        step: whose run counts. first: whose run counts until that step has one. dtypes: judged apart; all together
            without any.
    """

    step: str = ""
    first: str = ""
    variants: tuple[str, ...] = ()
    mode: str = "cold"
    dtypes: tuple[str, ...] = ()
    batch: int = 1
    goals: tuple[Goal, ...] = ()


@dataclass(frozen=True, slots=True)
class Campaign:
    """Steps in order, and targets."""

    name: str
    device: str
    steps: tuple[Step, ...]
    targets: Targets

    def to_dict(self) -> dict[str, object]:
        """Plain values, for the journal's header."""
        steps = [step.to_dict() for step in self.steps]
        return {"name": self.name, "device": self.device, "steps": steps, "targets": asdict(self.targets)}


def find_campaign(name: str) -> Path:
    """A path, or the name of a campaign that ships with mglubench (``campaign`` or ``sweeps/campaign.toml``)."""
    path = Path(name)
    with suppress(OSError):
        if path.is_file():
            return path
    shipped = {file.stem: file for file in data_folder("sweeps").glob(f"{CAMPAIGN}*.toml")}
    wanted = path.name.removesuffix(".toml")
    if wanted in shipped and path.parent in (Path(), Path("sweeps")):
        return shipped[wanted]
    raise UsageError(f"no campaign file {name!r}; shipped campaigns: {', '.join(sorted(shipped))}")


def read_campaign(path: Path) -> Campaign:
    """Read and check a campaign file.

    Raises:
        ConfigError: syntax, an unknown kind or key, a value that cannot be; the message names file and step.
    """
    text, values = read_toml(path)
    try:
        device, entries = _whole(values)
    except UsageError as error:
        key = next((key for key in values if re.search(rf"\b{re.escape(key)}\b", str(error))), "")
        raise ConfigError(f"{path}, line {line_of(text, key)}: {error}") from None
    steps: list[Step] = []
    for number, entry in enumerate(entries, 1):
        try:
            steps.append(_step(entry, device, steps))
        except UsageError as error:
            line = line_in_table(text, "step", number, str(error))
            which = entry.get("name", entry.get("kind", "?"))
            raise ConfigError(f"{path}, line {line}: step {number} ({which}): {error}") from None
    try:
        targets = _targets(values.get("targets", {}), steps)
    except UsageError as error:
        line = line_in_table(text, "targets", 1, str(error))
        raise ConfigError(f"{path}, line {line}: targets: {error}") from None
    return Campaign(str(values.get("name", path.stem)), device, tuple(steps), targets)


def _whole(values: Mapping[str, object]) -> tuple[str, list[dict[str, object]]]:
    """The device, and what the file has of steps."""
    _known(values, ("name", "device", "step", "targets"))
    device = device_name(str(values.get("device", "cuda")))
    if device == "auto":
        raise UsageError("device must be cpu, cuda or cuda:N")
    entries = values.get("step", [])
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError("no steps; write a [[step]] table for each")
    return device, entries


def _step(entry: Mapping[str, object], device: str, before: Sequence[Step]) -> Step:
    kind = one_of(str(entry.get("kind", "")), tuple(OPTIONS), "kind")
    name = build_spec({"name": entry.get("name", kind)}).name
    if name in [step.name for step in before]:
        raise UsageError(f"name {name!r} is taken by an earlier step; give this one another")
    defaults = OPTIONS[kind]
    sweep_keys = ("config", *(key for key in KNOWN if key not in ("name", "device"))) if kind in SWEEPS else ()
    given = {key: value for key, value in entry.items() if key not in ("kind", "name")}
    _known(given, (*defaults, *sweep_keys))
    options = {key: _option(given.get(key, default), default, key) for key, default in defaults.items()}
    check_names(options.get("variants", ()))
    if kind in LOOKING:
        _names_a_sweep(options["of"], before, "of")
    sweep = None
    if kind in SWEEPS:
        sweep = _sweep({key: value for key, value in given.items() if key in sweep_keys}, name, device)
        if kind == "aa" and options["repeats"] < 2:
            raise UsageError("repeats must be at least 2")
    return Step(kind, name, options, sweep)


def _sweep(given: Mapping[str, object], name: str, device: str) -> SweepSpec:
    own = dict(given)
    config = own.pop("config", None)
    base = read_sweep(find_sweep(str(config)), check_names) if config is not None else {}
    if "shape" in own:
        base = {key: value for key, value in base.items() if key not in ("h", "d")}
    spec = build_spec({**base, **own, "name": name, "device": device})
    check_names(spec.variants)
    return spec


def _option(value: object, default: object, key: str) -> Any:
    """The value in the form of its default: a list of texts, a number above 0, or a text."""
    if isinstance(default, list):
        return [str(item) for item in as_list(value, key)] if value else []
    if isinstance(default, float):
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise UsageError(f"{key} must be a number above 0, got {value!r}")
        return float(value)
    return str(value)


def _targets(values: object, steps: Sequence[Step]) -> Targets:
    if not values:
        return Targets()
    if not isinstance(values, dict):
        raise UsageError(f"write a [targets] table, not {values!r}")
    _known(values, ("step", "first", "variants", "mode", "dtype", "batch", "goal"))
    step, first = (str(values.get(key, "")) for key in ("step", "first"))
    _names_a_sweep(step, steps, "step")
    if first:
        _names_a_sweep(first, steps, "first")
    names = tuple(_option(values.get("variants", []), [], "variants"))
    check_names(names)
    goals: list[Goal] = []
    entries = values.get("goal", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"goal must be a list of tables, got {entries!r}")
    for entry in entries:
        goals += _goals(entry)
    batch = parse_int(values.get("batch", 1), "batch")
    dtypes = tuple(_option(values.get("dtype", []), [], "dtype"))
    return Targets(step, first, names, str(values.get("mode", "cold")), dtypes, batch, tuple(goals))


def _goals(entry: Mapping[str, object]) -> list[Goal]:
    _known(entry, ("figure", "shape", "nm", "least"))
    if missing := [key for key in ("figure", "shape", "nm", "least") if key not in entry]:
        raise UsageError(f"a goal lacks {', '.join(missing)}")
    figure = one_of(str(entry["figure"]), FIGURES, "figure")
    h, d = parse_shape(str(entry["shape"]))
    nms = [parse_int(nm, "nm") for nm in as_list(entry["nm"], "nm")]
    given = entry["least"] if isinstance(entry["least"], list) else [entry["least"]]
    least = [_option(value, 1.0, "least") for value in given]
    if len(least) == 1:
        least *= len(nms)
    if len(least) != len(nms):
        raise UsageError(f"a goal has {len(nms)} nm and {len(least)} least; give one least, or one for each nm")
    return [Goal(figure, h, d, nm, value) for nm, value in zip(nms, least, strict=True)]


def _names_a_sweep(name: str, steps: Sequence[Step], key: str) -> None:
    known = [step.name for step in steps if step.kind == "sweep"]
    if name not in known:
        raise UsageError(f"{key} = {name!r} names no earlier sweep step; there are: {', '.join(known) or 'none'}")


def _known(values: Mapping[str, object], allowed: Sequence[str]) -> None:
    for key in values:
        one_of(key, allowed, "key")
