"""What a variant may leave behind in the process that it shares with the others: looked at around each of its steps.

A setting that a step changed is put back and named, so that no other case is measured under it. What a launch needs in
every run it can set in every run. Left out, on purpose: what cannot be read back (handlers that C code installed, the
contents of other packages' modules), native threads, which compute libraries start at first use, and random states,
which variants may use: they are put back without a word.
"""

from __future__ import annotations

import contextlib
import gc
import locale
import os
import random
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mglubench.cases.case import Case


class Setting(NamedTuple):
    """One thing that a process has one of.

    Attributes:
        read: its value, comparable. write: puts a value back; ``None`` where that is not possible.
        quiet: whether it is put back without being named.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object] | None
    quiet: bool = False


State = dict[str, Any]
_NUMBA_THREADS = "Numba's threads"


def take() -> State:
    """The state of this process, by setting; a setting that cannot be read is left out."""
    state = {}
    for setting in _settings():
        with contextlib.suppress(Exception):
            state[setting.name] = setting.read()
    return state


def restore(before: State) -> list[str]:
    """Put back what differs, and say what it was, a line each."""
    notes = []
    for setting in _settings():
        if setting.name not in before and setting.name != _NUMBA_THREADS:
            continue
        was = before[setting.name] if setting.name in before else _numba_threads_at_start()
        with contextlib.suppress(Exception):
            here = setting.read()
            if _same(here, was):
                continue
            done = _put_back(setting, was)
            if not setting.quiet:
                notes.append(f"changed {setting.name}{_how(was, here)}; {'restored' if done else 'cannot be restored'}")
    return notes


def _put_back(setting: Setting, value: object) -> bool:
    if setting.write is None:
        return False
    try:
        setting.write(value)
        return _same(setting.read(), value)
    except Exception:
        return False


def _same(one: object, two: object) -> bool:
    return bool(one is two or one == two)


def _how(was: object, here: object) -> str:
    """From what to what, where that is short; of a dictionary, which entries."""
    if isinstance(was, dict) and isinstance(here, dict):
        changed = sorted(str(key) for key in was.keys() | here.keys() if was.get(key) != here.get(key))
        return f" ({', '.join(changed[:3])}{', ...' if len(changed) > 3 else ''})"
    plain = (bool, int, float, str, type(None))
    values = [str(value) for value in (was, here)]
    short = isinstance(was, plain) and isinstance(here, plain) and sum(map(len, values)) <= 80
    return f" {values[0]} -> {values[1]}" if short else ""


def _settings() -> list[Setting]:
    """Those of the interpreter and the system, and of the libraries that are loaded."""
    settings = [*_PROCESS, *_INTERPRETER]
    if "torch" in sys.modules:
        settings += _torch_settings()
    if "numba" in sys.modules:
        import numba

        settings.append(Setting(_NUMBA_THREADS, numba.get_num_threads, numba.set_num_threads))
    if "numpy" in sys.modules:
        import numpy as np

        settings.append(Setting("NumPy's error state", np.geterr, lambda value: np.seterr(**value)))
        settings.append(Setting("NumPy's random state", _numpy_random, _set_numpy_random, quiet=True))
    return settings


def _numba_threads_at_start() -> int:
    """What a variant that is the first to load Numba found."""
    from numba import config

    return int(vars(config)["NUMBA_NUM_THREADS"])


def _environment() -> dict[str, str]:
    # Compilers' and libraries' own notes to themselves and to their children.
    return {key: value for key, value in os.environ.items() if not key.lstrip("_").startswith(_LIBRARIES)}


def _set_environment(value: dict[str, str]) -> None:
    for key in _environment().keys() - value.keys():
        del os.environ[key]
    os.environ.update(value)


_LIBRARIES = ("TORCH", "TRITON", "NUMBA", "KMP", "CUDA_MODULE", "PYTORCH")


def _umask() -> str | None:
    """Read without setting it, so that no file of another thread is made in between."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return line.split()[1]
    return None


def _limits() -> dict[str, tuple[int, int]]:
    names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    return {name: resource.getrlimit(getattr(resource, name)) for name in names}


def _set_limits(value: dict[str, tuple[int, int]]) -> None:
    for name, limit in value.items():
        number = getattr(resource, name)
        if resource.getrlimit(number) != limit:
            # A hard limit that was lowered stays; what is below it can be had again.
            hard = resource.getrlimit(number)[1]
            soft = limit[0] if hard == resource.RLIM_INFINITY else min(limit[0], hard)
            resource.setrlimit(number, (soft, hard))


def _handlers() -> dict[str, Any]:
    return {number.name: signal.getsignal(number) for number in signal.Signals}


def _set_handlers(value: dict[str, Any]) -> None:
    for name, handler in value.items():
        if handler is not None and signal.getsignal(signal.Signals[name]) is not handler:
            signal.signal(signal.Signals[name], handler)


def _alarm() -> bool:
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0


def _clocks() -> tuple[object, ...]:
    return time.perf_counter, time.perf_counter_ns, time.monotonic, time.sleep


def _set_clocks(value: tuple[Any, ...]) -> None:
    time.perf_counter, time.perf_counter_ns, time.monotonic, time.sleep = value


def _filters() -> list[Any]:
    """Of warnings; those that libraries add when they are imported name a module or a text of theirs."""
    return [entry for entry in warnings.filters if entry[1] is None and entry[3] is None]


def _set_filters(value: list[Any]) -> None:
    kept = [entry for entry in warnings.filters if entry[1] is not None or entry[3] is not None]
    warnings.filters[:] = kept + value  # type: ignore[index]


# Folders that libraries add while they are imported: what torch's compiler made, what setuptools brings along.
_PATHS = ("torchinductor", "setuptools")


def _path() -> list[str]:
    return [entry for entry in sys.path if not any(word in entry for word in _PATHS)]


def _set_path(value: list[str]) -> None:
    sys.path[:] = value + [entry for entry in sys.path if any(word in entry for word in _PATHS)]


def _set_gc(value: bool) -> None:
    (gc.enable if value else gc.disable)()


def _thaw(value: int) -> None:
    gc.unfreeze()


# Python 3.12 is born with some.
_BORN_FROZEN = gc.get_freeze_count()
_PROCESS = (
    Setting("the working folder", lambda: str(Path.cwd()), os.chdir),
    Setting("environment variables", _environment, _set_environment),
    Setting("the umask", _umask, lambda value: os.umask(int(value, 8))),
    Setting(
        "CPU affinity",
        lambda: ",".join(map(str, sorted(os.sched_getaffinity(0)))),
        lambda value: os.sched_setaffinity(0, {int(core) for core in value.split(",")}),
    ),
    Setting("niceness", lambda: os.getpriority(os.PRIO_PROCESS, 0), lambda v: os.setpriority(os.PRIO_PROCESS, 0, v)),
    Setting("resource limits", _limits, _set_limits),
    Setting("signal handlers", _handlers, _set_handlers),
    Setting("the alarm clock", _alarm, lambda value: signal.setitimer(signal.ITIMER_REAL, 0)),
    Setting("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda v: locale.setlocale(locale.LC_ALL, v)),
)
_INTERPRETER = (
    Setting("the garbage collector", gc.isenabled, _set_gc),
    Setting("the garbage collector's thresholds", gc.get_threshold, lambda value: gc.set_threshold(*value)),
    Setting("the garbage collector's frozen objects", lambda: gc.get_freeze_count() > _BORN_FROZEN, _thaw),
    Setting("sys.path", _path, _set_path),
    Setting("the switch interval", sys.getswitchinterval, sys.setswitchinterval),
    Setting("warnings filters", _filters, _set_filters),
    Setting("clocks", _clocks, _set_clocks),
    Setting("flushing of denormal numbers", lambda: 5e-324 * float(len("1")) == 0.0, None),
    Setting("Python's random state", random.getstate, random.setstate, quiet=True),
)


def _torch_settings() -> list[Setting]:
    import torch

    matmul = torch.backends.cuda.matmul
    return [
        Setting("torch threads", torch.get_num_threads, torch.set_num_threads),
        Setting("torch threads between operators", torch.get_num_interop_threads, None),
        Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
        Setting("torch's default device", _default_device, _set_default_device),
        Setting("grad mode", torch.is_grad_enabled, torch.set_grad_enabled),
        Setting("inference mode", torch.is_inference_mode_enabled, None),
        Setting("autocast", lambda: torch.is_autocast_enabled("cpu"), lambda v: torch.set_autocast_enabled("cpu", v)),
        Setting(
            "deterministic algorithms",
            torch.get_deterministic_debug_mode,
            torch.set_deterministic_debug_mode,
        ),
        Setting("float32 matmul precision", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        Setting(
            "reduced-precision sums of fp16 products",
            lambda: matmul.allow_fp16_reduced_precision_reduction,
            lambda value: setattr(matmul, "allow_fp16_reduced_precision_reduction", value),
        ),
        Setting(
            "reduced-precision sums of bf16 products",
            lambda: matmul.allow_bf16_reduced_precision_reduction,
            lambda value: setattr(matmul, "allow_bf16_reduced_precision_reduction", value),
        ),
        Setting("oneDNN", torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),
        Setting(
            "torch's random state", _torch_random, lambda value: torch.set_rng_state(_tensor_of(value)), quiet=True
        ),
    ]


def _default_device() -> str:
    import torch

    return str(torch.get_default_device())


def _set_default_device(value: str) -> None:
    import torch

    torch.set_default_device(None if value == "cpu" else value)


def _torch_random() -> bytes:
    import torch

    return torch.get_rng_state().numpy().tobytes()


def _tensor_of(value: bytes) -> Any:
    import torch

    return torch.frombuffer(bytearray(value), dtype=torch.uint8)


def _numpy_random() -> tuple[Any, ...]:
    import numpy as np

    state: Any = np.random.get_state()
    return state[0], state[1].tobytes(), *state[2:]


def _set_numpy_random(value: tuple[Any, ...]) -> None:
    import numpy as np

    np.random.set_state((value[0], np.frombuffer(value[1], np.uint32), *value[2:]))


# Threads and children ------------------------------------------------------------------------------------------------

_OWN_CHILDREN = ("_inductor", "resource_tracker", "compile_worker")
_OWN_THREADS = ("torch", "numba", "triton", "mglubench", "tqdm")
_OWN_POOLS = ("evict",)


class Company(NamedTuple):
    """Threads of Python and child processes that are there."""

    threads: frozenset[threading.Thread]
    children: frozenset[int]


class Guests(dict[Case, Company]):
    """Who came with which case, and is to leave with it."""

    def add(self, case: Case, newcomers: Company) -> None:
        """More of a case's."""
        old = self.get(case, Company(frozenset(), frozenset()))
        self[case] = Company(old.threads | newcomers.threads, old.children | newcomers.children)

    def see_off(self, case: Case) -> list[str]:
        """See off those of a case."""
        return see_off(self.pop(case)) if case in self else []


def company() -> Company:
    """Who is here now."""
    return Company(frozenset(threading.enumerate()), frozenset(_children()))


def come(before: Company) -> Company:
    """Who has come since, compilers' threads apart.

    What a child is shows when it is seen off: it may not have begun yet.
    """
    now = company()
    threads = {thread for thread in now.threads - before.threads if not _ours(thread)}
    return Company(frozenset(threads), now.children - before.children)


def see_off(guests: Company) -> list[str]:
    """Who of these is still here, in words; children are ended, threads cannot be."""
    notes = []
    threads = [thread.name for thread in guests.threads if thread.is_alive()]
    if threads:
        words = f"{len(threads)} thread{'s' if len(threads) > 1 else ''} running ({', '.join(sorted(threads)[:3])})"
        notes.append(f"left {words}; cannot be ended")
    children = [pid for pid in guests.children & frozenset(_children()) if not _is_helper(pid)]
    for pid in children:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    if children:
        notes.append(f"left {len(children)} child process{'es' if len(children) > 1 else ''} running; ended")
    return notes


def _ours(thread: threading.Thread) -> bool:
    """A compiler's, or one of this program."""
    target = getattr(thread, "_target", None)
    module = getattr(target, "__module__", None) or type(thread).__module__
    # torch's compiler keeps pools of its own, which do not tell whose they are.
    pools = (*_OWN_POOLS, "ThreadPoolExecutor") if "torch._inductor.codecache" in sys.modules else _OWN_POOLS
    named = thread.name.startswith(pools)
    return named or str(module).startswith(_OWN_THREADS) or isinstance(thread, threading._DummyThread)


def _children() -> list[int]:
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return found


def _is_helper(pid: int) -> bool:
    """A compiler's helper, which serves the next case too; or a child that is over."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        over = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
    return over or any(word in command for word in _OWN_CHILDREN)
