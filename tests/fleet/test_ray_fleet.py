"""Ray's own cluster on this machine: several nodes with a pretended GPU each, fake sets, and whatever can go wrong."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter

import pytest

from mglubench.cases.sweep_spec import MeasureSettings
from mglubench.errors import UsageError
from mglubench.executors.comparison_set import ComparisonSet
from mglubench.executors.introduction import package_digest
from mglubench.fleet.driver import Fleet
from mglubench.fleet.messages import HowToWork
from mglubench.fleet.ray_transport import RayTransport, why_lost
from mglubench.fleet.roster import Roster
from mglubench.runner.fleet_request import INSIDE
from mglubench.status import Status
from tests.conftest import ROOT, make_case, run_command

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install mglubench[ray]")
STORE = 80 << 20
QUICK = MeasureSettings(rounds=2, processes=1)
FAKE = HowToWork("cuda", "fake", variables={"MGLUBENCH_FAKE_CUDA": "1"})


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    kept = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), kept)))
    nodes = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": STORE}
    made = Cluster(initialize_head=True, head_node_args={**nodes, "include_dashboard": False})
    made.add_node(**nodes)
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()
    if kept is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = kept


def sets(count):
    return [ComparisonSet(n, (make_case(h=24 + n, device="cuda", dtype="float16"),)) for n in range(count)]


def opened(transport, **more):
    told = []
    fleet = Fleet(transport, Roster(), tell=lambda what, known: told.append((what, known)), **more)
    fleet.open()
    fleet.roster.settle()
    return fleet, told


def kill_one(fleet):
    """By a signal, as the system would."""
    worker = next(iter(fleet.roster.workers))
    pid = ray.get(fleet.transport._actors[worker].__ray_call__.remote(lambda self: os.getpid()))
    os.kill(pid, signal.SIGKILL)


def test_an_actor_that_is_killed_costs_no_set(cluster):
    fleet, told = opened(RayTransport(FAKE))
    try:
        assert len(fleet.roster.workers) == 2
        found = Counter()
        for group, rows in fleet.measured(sets(30), QUICK):
            found[group.number] += 1
            assert [row.status for row in rows] == [Status.OK]
            assert rows[0].worker["uuid"].startswith("fake-")
            if sum(found.values()) == 5:
                kill_one(fleet)
        assert found == Counter(range(30))
        assert any("died" in str(known.get("why")) for what, known in told if what == "failed")
    finally:
        fleet.close()


def test_a_hang_costs_the_actor_and_the_set_is_placed_again(cluster):
    fleet, told = opened(RayTransport(FAKE), set_seconds=0.8)
    try:
        hung = next(iter(fleet.roster.workers))
        fleet.transport._actors[hung].__ray_call__.remote(lambda self: time.sleep(600))
        found = Counter(group.number for group, _ in fleet.measured(sets(6), QUICK))
        assert found == Counter(range(6))
        assert [known["why"] for what, known in told if what == "failed"] == ["no answer within 0.8 s; killed"]
    finally:
        fleet.close()


def test_actors_of_another_version_are_refused_with_both_digests(cluster):
    fleet = Fleet(RayTransport(FAKE), Roster(digest="0123456789abcdef"))
    try:
        with pytest.raises(UsageError, match=f"its mglubench is {package_digest()}, this one is 0123456789abcdef"):
            fleet.open()
    finally:
        fleet.close()
    # And none of them is left.
    until = time.monotonic() + 20
    while ray.available_resources().get("GPU") != 2 and time.monotonic() < until:
        time.sleep(0.1)
    assert ray.available_resources()["GPU"] == 2


def test_the_command_line_joins_a_cluster_by_its_address(cluster, tmp_path):
    env = {**os.environ, **FAKE.variables, INSIDE: "fake"}
    done = run_command("fleet", "--address", cluster.address, "--device", "cuda", "--json", cwd=tmp_path, env=env)
    assert done.code == 0, done.err
    found = json.loads(done.out)["workers"]
    assert len({worker["uuid"] for worker in found}) == 2
    assert {worker["digest"] for worker in found} == {package_digest()}


def test_what_an_actor_could_not_store_is_named_as_such():
    error = ray.exceptions.RayTaskError("measure", "", ray.exceptions.ObjectStoreFullError("Failed to put object"))
    assert why_lost(error.as_instanceof_cause()).startswith("Ray's object store is full: ")


def test_a_full_object_store_is_named():
    error = ray.exceptions.ObjectStoreFullError("Failed to put object")
    assert why_lost(error).startswith("Ray's object store is full: ")


def test_trials_are_told_as_they_are_stored(tmp_path):
    from tests.benchmarks.fleet_trials import told

    stored = ROOT / "reports" / "fleet"
    rows = (stored / "trials.jsonl").read_text().splitlines()
    assert told(stored / "trials.jsonl", len(rows)) == (True, (stored / "trials.txt").read_text().rstrip("\n"))
    bad = tmp_path / "trials.jsonl"
    bad.write_text("\n".join([*rows[:-1], rows[-1].replace('"why": ""', '"why": "59 rows"')]) + "\n")
    assert not told(bad, len(rows))[0]
    assert not told(stored / "trials.jsonl", len(rows) + 1)[0]


def test_a_node_that_is_removed_in_the_middle_costs_no_set(cluster):
    """The second of two; no test after this one has it."""
    fleet, told = opened(RayTransport(FAKE))
    try:
        assert len(fleet.roster.workers) == 2
        found = Counter()
        for group, rows in fleet.measured(sets(40), QUICK):
            found[group.number] += 1
            assert [row.status for row in rows] == [Status.OK]
            if sum(found.values()) == 5:
                cluster.remove_node(next(iter(cluster.worker_nodes)))
        assert found == Counter(range(40))
        assert "failed" in [what for what, _ in told]
    finally:
        fleet.close()
