"""Affinity, quotas and memory limits, out of control groups made of files: both versions, nested, and none."""

from __future__ import annotations

import os

import pytest

from mglubench.system import limits
from mglubench.system.limits import cpu_quota, memory_left, memory_limit, usable_cores

V2 = ("fs", "/", "cgroup2 cgroup2 rw,nsdelegate")
V1 = [("fs/memory", "/", "cgroup cgroup rw,memory"), ("fs/cpu,cpuacct", "/", "cgroup cgroup rw,cpu,cpuacct")]


@pytest.fixture
def machine(tmp_path):
    """Writes ``/proc/self`` and control groups; returns the former's path."""

    def make(cgroup, mounts, files):
        proc = tmp_path / "proc"
        proc.mkdir()
        (proc / "cgroup").write_text(cgroup)
        lines = [
            f"30 20 0:26 {root} {str(tmp_path / mount).replace(' ', chr(92) + '040')} rw,nosuid shared:4 - {kind}"
            for mount, root, kind in mounts
        ]
        (proc / "mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + "\n".join(lines) + "\nbroken\n")
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return proc

    return make


def test_version_2_takes_the_least_of_all_groups_above(machine):
    files = {
        "fs/pod/memory.max": f"{4 << 30}\n",
        "fs/pod/memory.current": f"{3 << 30}\n",
        "fs/pod/memory.stat": f"anon 1\nactive_file {1 << 29}\ninactive_file {1 << 29}\nfile 77\n",
        "fs/pod/box/memory.max": "max\n",
        "fs/pod/box/inner/memory.max": f"{8 << 30}\n",
        "fs/pod/cpu.max": "max 100000\n",
        "fs/pod/box/cpu.max": "150000 100000\n",
        "fs/pod/box/inner/cpu.max": "400000 100000\n",
    }
    proc = machine("0::/pod/box/inner\n", [V2], files)
    assert cpu_quota(proc) == 1.5
    assert memory_limit(proc) == 4 << 30
    # 3 GiB are used, of which 1 GiB is the cache of files.
    assert memory_left(proc) == 2 << 30


def test_version_1_has_a_folder_for_each_controller(machine):
    files = {
        "fs/memory/a/memory.limit_in_bytes": f"{2 << 30}\n",
        "fs/memory/a/memory.usage_in_bytes": f"{1 << 30}\n",
        "fs/memory/a/memory.stat": f"total_active_file 0\ntotal_inactive_file {1 << 28}\nactive_file 99999999999\n",
        "fs/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
        "fs/cpu,cpuacct/a/b/cpu.cfs_quota_us": "50000\n",
        "fs/cpu,cpuacct/a/b/cpu.cfs_period_us": "100000\n",
        "fs/cpu,cpuacct/a/cpu.cfs_quota_us": "-1\n",
        "fs/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
    }
    proc = machine("5:memory:/a/b\n3:cpu,cpuacct:/a/b\n1:name=systemd:/x\n", V1, files)
    assert cpu_quota(proc) == usable_cores(proc) == 0.5
    assert memory_limit(proc) == 2 << 30
    assert memory_left(proc) == (2 << 30) - (1 << 30) + (1 << 28)


@pytest.mark.parametrize("own", ["/docker/abc", "/docker/abcdef"])
def test_a_container_that_sees_its_own_group_as_the_mounted_root(machine, own):
    files = {"fs/memory.max": "1000\n", "fs/memory.current": "5000\n", "fs/cpu.max": "200000 100000\n"}
    proc = machine(f"0::{own}\n", [("fs", "/docker/abc", V2[2])], files)
    assert (cpu_quota(proc), memory_limit(proc), memory_left(proc)) == (2.0, 1000, 0)


def test_a_group_inside_of_what_a_container_sees(machine):
    proc = machine("0::/docker/abc/job\n", [("fs", "/docker/abc", V2[2])], {"fs/job/memory.max": "500\n"})
    assert memory_limit(proc) == 500


@pytest.mark.parametrize("own", ["/", "/not/visible/here", "/../outside"])
def test_a_group_that_is_not_visible_leaves_those_that_are(machine, own):
    proc = machine(f"0::{own}\n", [V2], {"fs/memory.max": "1000\n", "outside/memory.max": "1\n"})
    assert memory_limit(proc) == 1000


def test_both_versions_beside_each_other_and_blanks_in_paths(machine):
    files = {"my fs/memory/memory.limit_in_bytes": "3000\n", "my fs/unified/memory.max": "2000\n"}
    mounts = [("my fs/memory", "/", V1[0][2]), ("my fs/unified", "/", V2[2])]
    assert memory_limit(machine("4:memory:/\n0::/\n", mounts, files)) == 2000


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"fs/memory.max": "max\n", "fs/cpu.max": "max 100000\n"},
        {"fs/memory.max": "", "fs/cpu.max": ""},
        {"fs/memory.max": "lots\n", "fs/cpu.max": "0 0\n"},
        {"fs/cpu.max": "100000\n"},
        {"fs/memory.max/a": "a folder", "fs/cpu.max/a": "a folder"},
    ],
)
def test_what_cannot_be_read_limits_nothing(machine, files):
    proc = machine("0::/\ngarbage\n", [V2], files)
    assert cpu_quota(proc) is memory_limit(proc) is memory_left(proc) is None
    assert usable_cores(proc) == limits.affinity()


def test_without_a_proc_there_are_no_limits(tmp_path):
    assert cpu_quota(tmp_path) is memory_limit(tmp_path) is memory_left(tmp_path) is None


def test_affinity_goes_before_a_larger_quota(machine, monkeypatch):
    proc = machine("0::/\n", [V2], {"fs/cpu.max": "800000 100000\n"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5})
    assert usable_cores(proc) == 2

    def refuse(pid):
        raise OSError("not here")

    monkeypatch.setattr(os, "sched_getaffinity", refuse)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert usable_cores(proc) == 4


@pytest.mark.parametrize(
    ("told", "cores", "wanted"),
    [("3", 2.0, 3), ("4,2", 8.0, 4), ("0", 2.0, 2), ("many", 2.0, 2), ("", 0.5, 1), ("", 1.5, 2)],
)
def test_threads_are_as_the_user_says_or_as_many_as_cores(monkeypatch, told, cores, wanted):
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    monkeypatch.setattr(limits, "usable_cores", lambda proc: cores)
    assert limits.threads_wanted() == wanted
