"""A sweep that is killed, interrupted or out of disk keeps what it finished and goes on with ``--resume``."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess

import psutil
import pytest

from tests.conftest import COMMAND, Result, make_plugin, run_command

# Acts once, at the second shape, as told by the environment; in the sweep's own process under the fake executor.
SOURCE = """
    import os, signal, threading
    from pathlib import Path
    from mglubench.variants.torch_eager import LinearUnit

    class Saboteur(LinearUnit):
        name = "saboteur"

        def why_unsupported(self, case):
            mark = Path(os.environ["SABOTAGE_MARK"])
            if case.d == 16 and not mark.exists():
                mark.write_text(str(os.getpid()))
                getattr(self, os.environ["SABOTAGE"])()
            return None

        def kill(self):
            os.kill(os.getpid(), signal.SIGKILL)

        def interrupt(self):
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits it ignored
            os.kill(os.getpid(), signal.SIGINT)

        def tear(self):
            from mglubench.system import lines

            def half(fd, data):
                os.write(fd, data[: len(data) // 2])
                self.kill()

            lines._write_all = half

        def kill_parent(self):
            os.kill(os.getppid(), signal.SIGKILL)
            threading.Event().wait()
"""
SWEEP = ("sweep", "--shape", "24x8,24x16,24x24", "--nm", "1,2", "--variants", "lu,mglu-naive,saboteur", "--no-ceiling")
FAKE = ("--executor", "fake")


def rows_of(folder):
    return [json.loads(line) for line in (folder / "rows.jsonl").read_bytes().split(b"\n")[:-1]]


@pytest.fixture
def sabotage(tmp_path):
    """Run a sweep into ``run`` with a saboteur in it."""
    plugin = make_plugin(tmp_path / "site", SOURCE, {"saboteur": "Saboteur"})

    def start(how, *args) -> Result:
        env = {**plugin.env, "SABOTAGE": how, "SABOTAGE_MARK": str(tmp_path / "mark")}
        return run_command(*SWEEP, "--out", "run", *args, cwd=tmp_path, env=env)

    return start


def assert_resumed(folder, before):
    after = rows_of(folder)
    assert after[: len(before)] == before
    keys = [(row["set"] % (1 << 20), row["key"]) for row in after]
    assert len(keys) == len(set(keys)) == json.loads((folder / "run.json").read_text())["cases"]
    assert {row["status"] for row in after} == {"ok"}


@pytest.mark.parametrize("how", ["kill", "tear"])
def test_a_killed_sweep_is_resumed_without_loss_or_repetition(sabotage, tmp_path, how):
    assert sabotage(how, *FAKE).code == -signal.SIGKILL
    before = rows_of(tmp_path / "run")
    assert len(before) >= 2
    torn = not (tmp_path / "run" / "rows.jsonl").read_bytes().endswith(b"\n")
    assert torn == (how == "tear")
    resumed = sabotage(how, *FAKE, "--resume")
    assert resumed.code == 0
    assert ("cut short" in resumed.err) == torn
    assert_resumed(tmp_path / "run", before)


def test_an_interrupted_sweep_leaves_in_one_line_with_its_rows(sabotage, tmp_path):
    result = sabotage("interrupt", *FAKE)
    assert result.code == 130
    *sets, last = result.err.splitlines()
    assert last == "error: interrupted; finished rows are kept"
    assert all(line.startswith("set ") for line in sets)
    before = rows_of(tmp_path / "run")
    assert sabotage("interrupt", *FAKE, "--resume").code == 0
    assert_resumed(tmp_path / "run", before)


def test_a_killed_real_sweep_leaves_no_worker_and_is_resumed(sabotage, tmp_path):
    brief = ("--max-seconds", "0.01", "--min-samples", "3", "--mode", "hot", "--rounds", "1", "--processes", "1")
    assert sabotage("kill_parent", *brief).code == -signal.SIGKILL
    worker = int((tmp_path / "mark").read_text())
    if psutil.pid_exists(worker):
        psutil.wait_procs([psutil.Process(worker)], timeout=60)
    assert not psutil.pid_exists(worker)
    before = rows_of(tmp_path / "run")
    assert len(before) >= 3
    assert sabotage("kill_parent", *brief, "--resume").code == 0
    assert_resumed(tmp_path / "run", before)


def test_a_finished_run_is_resumed_by_doing_nothing(sabotage, tmp_path):
    (tmp_path / "mark").write_text("")
    assert sabotage("kill", *FAKE).code == 0
    before = (tmp_path / "run" / "rows.jsonl").read_bytes()
    assert sabotage("kill", *FAKE, "--resume").code == 0
    assert (tmp_path / "run" / "rows.jsonl").read_bytes() == before


def test_a_full_disk_stops_the_sweep_in_one_line_and_resume_completes_it(tmp_path):
    command = (*COMMAND, "sweep", *FAKE, "--shape", "24x8,24x16", "--nm", "1,2,3,4,5,6,7,8", "--out", "run")
    limit = 12_000

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    full = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=small_files)
    assert full.returncode == 2
    assert full.stdout == ""
    *sets, last = full.stderr.splitlines()
    assert all(line.startswith("set ") for line in sets)
    assert last.startswith("error: cannot write a row to run/rows.jsonl: ")
    assert "--resume" in last
    content = (tmp_path / "run" / "rows.jsonl").read_bytes()
    assert content.endswith(b"\n")
    assert limit // 2 < len(content) <= limit
    before = rows_of(tmp_path / "run")
    assert run_command("report", "run", cwd=tmp_path).code == 0
    resumed = subprocess.run((*command, "--resume"), cwd=tmp_path, capture_output=True, text=True)
    assert resumed.returncode == 0
    assert "warning" not in resumed.stderr
    assert_resumed(tmp_path / "run", before)


def test_a_second_sweep_into_the_same_folder_is_refused(tmp_path):
    """The first one holds the folder for as long as its plugin waits for a pipe that this test holds open."""
    source = """
        import os
        from mglubench.variants.torch_eager import LinearUnit

        class Waits(LinearUnit):
            name = "waits"

            def why_unsupported(self, case):
                print("waiting", flush=True)
                os.read(0, 1)
                return None
    """
    plugin = make_plugin(tmp_path / "site", source, {"waits": "Waits"})
    arguments = ("sweep", *FAKE, "--shape", "8x8", "--variants", "waits", "--no-ceiling", "--out", "run")
    first = subprocess.Popen(
        [*COMMAND, *arguments], cwd=tmp_path, env=plugin.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert first.stdout.readline() == b"waiting\n"
        second = run_command(*arguments, "--resume", cwd=tmp_path, env=plugin.env)
        assert second.code == 2
        assert second.err == ("error: run is being written by another process; wait for it, or choose another --out\n")
        assert rows_of(tmp_path / "run") == []
    finally:
        first.communicate(b"\n", timeout=60)
    assert first.returncode == 0
    assert len(rows_of(tmp_path / "run")) == 1


def test_a_folder_that_a_kill_left_without_a_header_can_be_used(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").touch()
    (tmp_path / "run" / f".run.json.{os.getpid()}").write_text("{")
    result = run_command("sweep", *FAKE, "--shape", "8x8", "--variants", "lu", "--out", "run", cwd=tmp_path)
    assert result.code == 0


@pytest.mark.parametrize("form", ["--csv", "--json", "--markdown"])
def test_printing_onto_a_full_disk_is_one_line(tmp_path, form):
    command = (*COMMAND, "sweep", *FAKE, "--shape", "24x8", "--variants", "lu", "--out", "run", form)
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device, not a file of ours
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(rows_of(tmp_path / "run")) == 5
