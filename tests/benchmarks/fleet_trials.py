"""A fleet on Ray in which something goes wrong, again and again: ``python -m tests.benchmarks.fleet_trials JOURNAL N``.

A cluster of this machine, two nodes with a pretended GPU each, fake sets. In turn, each at a random moment of a sweep:

- node: a third node is removed. actor: one is killed by a signal. hang: one is stopped, and answers no more.
- version: a third node has an mglubench of other bytes.
- folder: no byte more fits into the run's file; the sweep is continued with room.
- driver: it is killed with SIGKILL, twice at most, and continued.

Promised: every row of the sweep is there once, and measured; faults that the fleet has met are in its record.
The journal has a line for each trial; what was stopped, or had a cluster that did not start, goes on behind it.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import ray
from ray.cluster_utils import Cluster

from mglubench.cases.config import merged_spec
from mglubench.fleet.open_fleet import RAY, FleetOptions
from mglubench.measure.measurement import Measurement
from mglubench.results.fleet_record import read_fleet
from mglubench.runner.fleet_request import INSIDE
from mglubench.runner.fleet_sweep import fleet_sweep
from mglubench.runner.progress import Progress
from mglubench.runner.run import LEFTOVERS
from tests.conftest import COMMAND, ROOT

Trial = dict[str, int | float | str]
SWEEP = {"h": "24..43", "d": 16, "nm": 1, "variants": "swiglu,lu,mglu-naive", "device": "cuda", "ceiling": False}
ROWS = 60
# Of a row, without its samples.
LEAST_BYTES = 1_500
OPTIONS = FleetOptions(RAY, "cuda", "fake", set_seconds=5.0)
PATIENCE = 600.0
# A machine that sleeps, or is stopped for somebody else's measurement, loses no node.
PATIENT = {"health_check_failure_threshold": 200, "gcs_rpc_server_reconnect_timeout_s": 900}
NODE = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": 80 << 20}


class After(Progress):
    """Does something once so many rows are stored."""

    def __init__(self, rows: int, act: Callable[[], None]) -> None:
        self._left, self._act = rows, act

    def finished(self, measurement: Measurement) -> None:
        self._left -= 1
        if not self._left:
            self._act()


class NoClusterError(Exception):
    """Ray gives a node half a minute to start, which a busy machine may not keep."""


class World:
    """A cluster, a copy of the package that is not quite the same, and chance."""

    def __init__(self, other: Path) -> None:
        self.chance, self.other = random.Random(), other
        shutil.copytree(ROOT / "mglubench", other / "mglubench")
        with (other / "mglubench" / "status.py").open("a") as file:
            file.write("# of another version\n")
        head = {**NODE, "include_dashboard": False, "_system_config": PATIENT}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.cluster.add_node(**NODE)
        ray.init(address=self.cluster.address, log_to_driver=False, logging_level="ERROR")

    def close(self) -> None:
        ray.shutdown()
        self.cluster.shutdown()

    def node(self, out: Path) -> str:
        with self.third() as extra:
            self.sweep(out, lambda: self.cluster.remove_node(extra))
        return "failed"

    def actor(self, out: Path) -> str:
        self.sweep(out, self.kill_one)
        return "failed"

    def hang(self, out: Path) -> str:
        stopped: list[psutil.Process] = []
        self.sweep(out, lambda: stopped.append(self.signal(signal.SIGSTOP)))
        # Given up by now; Ray's kill waits for it to go on.
        with suppress(psutil.Error):
            stopped[0].resume()
        return "failed"

    def version(self, out: Path) -> str:
        with self.third(PYTHONPATH=str(self.other)):
            self.sweep(out, lambda: None)
        return "refused"

    def folder(self, out: Path) -> str:
        size = self.chance.randrange(LEAST_BYTES, ROWS * LEAST_BYTES)
        full = self.command(out, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
        assert full.wait(PATIENCE) == 2, f"exit code {full.returncode} with {size} bytes of room"
        assert self.command(out).wait(PATIENCE) == 0
        return ""

    def driver(self, out: Path) -> str:
        for _ in range(self.chance.randint(1, 2)):
            driver, rows = self.command(out), self.chance.randrange(ROWS)
            while driver.poll() is None and stored(out) <= rows:
                time.sleep(0.005)
            driver.kill()
            driver.wait()
        assert self.command(out).wait(PATIENCE) == 0
        return ""

    def sweep(self, out: Path, act: Callable[[], None]) -> None:
        spec = merged_spec(SWEEP, None)
        fleet_sweep(spec, OPTIONS, out, progress=After(self.chance.randint(1, ROWS // 2), act))

    def command(self, out: Path, **more: Callable[[], None]) -> subprocess.Popen[bytes]:
        words = [word for name, value in SWEEP.items() if name != "ceiling" for word in (f"--{name}", str(value))]
        words += ["--no-ceiling", "--json", "--out", str(out), *(["--resume"] if (out / "run.json").exists() else [])]
        return subprocess.Popen(
            [*COMMAND, "sweep", "--executor", RAY, "--address", self.cluster.address, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, INSIDE: "fake"},
            **more,  # type: ignore[arg-type]
        )

    def kill_one(self) -> None:
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> psutil.Process:
        """Send it to one of the actors, which is returned."""
        actors = []
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if "RayWorker" in " ".join(process.cmdline()):
                    actors.append(process)
        found = self.chance.choice(actors)
        found.send_signal(number)
        return found

    @contextmanager
    def third(self, **variables: str) -> Iterator[object]:
        """One node more, which may be gone before the end."""
        try:
            extra = self.cluster.add_node(**NODE, env_vars=variables)
        except Exception as error:
            raise NoClusterError from error
        try:
            wait_until(lambda: ray.cluster_resources().get("GPU") == 3)
            yield extra
        finally:
            if extra in self.cluster.worker_nodes:
                self.cluster.remove_node(extra)
            wait_until(lambda: ray.cluster_resources().get("GPU") == 2)


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds() and time.monotonic() < until:
        time.sleep(0.05)


def stored(out: Path) -> int:
    rows = out / "rows.jsonl"
    return rows.read_bytes().count(b"\n") if rows.exists() else 0


def why_not_whole(out: Path, told: str) -> str:
    """What is wrong with a run; empty if every case has one row, which was measured, and the record says ``told``."""
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    places = {(row["set"] % LEFTOVERS, row["key"]) for row in rows}
    if not len(places) == len(rows) == ROWS == json.loads((out / "run.json").read_text())["cases"]:
        return f"{len(rows)} rows of {len(places)} cases, {ROWS} planned"
    if odd := Counter(row["status"] for row in rows if row["status"] != "ok"):
        return f"rows not measured: {dict(odd)}"
    return f"nothing {told}" if told and told not in [line["what"] for line in read_fleet(out)] else ""


def ray_trials(journal: Path, trials: int) -> None:
    """So many, with those that the journal has."""
    done = known(journal)
    if len(done) >= trials:
        return
    with tempfile.TemporaryDirectory() as scratch, journal.open("a") as kept, world_in(Path(scratch)) as world:
        kinds = (world.node, world.actor, world.hang, world.version, world.folder, world.driver)
        for trial in range(len(done), trials):
            kind, began, out = kinds[trial % len(kinds)], time.monotonic(), Path(scratch) / f"run-{trial}"
            world.chance.seed(trial)
            try:
                why = why_not_whole(out, kind(out))
            except NoClusterError:
                raise
            except Exception as error:
                # Whatever it is, this sweep is not whole.
                why = f"{type(error).__name__}: {error}"
            seconds = round(time.monotonic() - began, 1)
            line: Trial = {"trial": trial, "kind": kind.__name__, "why": why, "seconds": seconds}
            kept.write(json.dumps(line) + "\n")
            kept.flush()


def known(journal: Path) -> list[Trial]:
    return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []


def told(journal: Path, trials: int) -> tuple[bool, str]:
    """Whether so many were whole, and how many of each kind."""
    done = known(journal)
    kinds, good = Counter(one["kind"] for one in done), Counter(one["kind"] for one in done if not one["why"])
    whole = good.total()
    each = ", ".join(f"{kind} {good[kind]} of {count}" for kind, count in kinds.items())
    return whole == len(done) == trials, f"{whole} of {len(done)} sweeps on Ray whole: {each}"


@contextmanager
def world_in(scratch: Path) -> Iterator[World]:
    # A worker of Ray finds the folder that its driver is in: there must be no package in it.
    os.chdir(scratch)
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", MGLUBENCH_FAKE_CUDA="1")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    world = World(scratch / "other")
    try:
        yield world
    finally:
        world.close()
        os.chdir(ROOT)


if __name__ == "__main__":
    ray_trials(Path(sys.argv[1]).resolve(), int(sys.argv[2]))
    print(told(Path(sys.argv[1]), int(sys.argv[2]))[1])
