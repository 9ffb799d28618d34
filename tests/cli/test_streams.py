"""Streams that are closed or full, readers that leave, signals at any moment: real processes, one line at most."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import COMMAND, make_plugin, run_command

FAKE = ("sweep", "--executor", "fake", "--shape", "8x8", "--nm", "1", "--no-ceiling")


def shell(words, cwd, env=None):
    """A command line of the shell's, ``mglubench`` being this program."""
    script = f'mglubench() {{ "{COMMAND[0]}" -m mglubench "$@"; }}; {words}'
    return subprocess.run(["bash", "-c", script], cwd=cwd, env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("mglubench --help >&-", 0),
        ("mglubench runs >&-", 0),
        ("mglubench runs <&- >&- 2>&-", 0),
        ("mglubench runs 2>/dev/full", 0),
        ("mglubench report nowhere 2>/dev/full", 2),
        ("mglubench --help >/dev/full", 2),
        ("mglubench --help 2>/dev/full >/dev/full", 2),
        ("mglubench --help | head -2 | tail -1", 0),
        ("mglubench variants --device cpu | head -1 >/dev/null", 0),
    ],
)
def test_streams_that_cannot_be_written_cost_one_line_at_most(tmp_path, words, code):
    done = shell(words, tmp_path)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) <= 1
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_without_streams_is_complete(tmp_path):
    words = " ".join(FAKE)
    assert shell(f"mglubench {words} --out closed <&- >&- 2>&-", tmp_path).returncode == 0
    assert shell(f"mglubench {words} --out full 2>/dev/full >/dev/null", tmp_path).returncode == 0
    open_to_all = run_command(*FAKE, "--out", "open", cwd=tmp_path)
    assert open_to_all.code == 0
    rows = [len((tmp_path / run / "rows.jsonl").read_text().splitlines()) for run in ("closed", "full", "open")]
    assert rows[0] == rows[1] == rows[2] > 3


@pytest.mark.parametrize("words", [("report", "run", "--export", "/"), ("plot", "run", "--out", "/")])
def test_a_file_without_a_name_is_one_line(cli, words):
    assert cli(*FAKE, "--out", "run").code == 0
    result = cli(*words)
    assert result.code == 2
    assert result.err.startswith("error: cannot")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("module", ["typer", "thrown_away"])
def test_a_signal_while_starting_is_one_line(tmp_path, name, code, module):
    """It arrives while the command line is being imported, or a plugin."""
    source = f"import os, signal; os.kill(os.getpid(), signal.{name})"
    # A background job of a shell inherits an ignored SIGINT.
    if name == "SIGINT":
        source = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{source}"
    plugin = make_plugin(tmp_path / "site", source, {"it": "It"}, module=module)
    result = run_command("variants", cwd=tmp_path, env=plugin.env)
    assert (result.code, result.out) == (code, "")
    word = {130: "interrupted", 143: "terminated"}[code]
    assert result.err == f"error: {word}; finished rows are kept\n"


SLOW = """
    import time
    from mglubench.variants.torch_eager import LinearUnit

    class Slow(LinearUnit):
        name = "slow"

        def prepare(self, problem):
            open("at work", "w").close()
            time.sleep(60)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_where_nothing_can_be_raised_is_not_lost(tmp_path, number, code):
    """Libraries and finalizers swallow what a handler raises in them; it comes again."""
    source = f"""
import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
import mglubench.cli.app as app

class Swallows:
    def __del__(self):
        os.kill(os.getpid(), {int(number)})
        time.sleep(5)

def run():
    Swallows()
    time.sleep(20)
    return 0

app.run = run
from mglubench.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
    )
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_at_work_leaves_nothing_behind(tmp_path, number, code):
    plugin = make_plugin(tmp_path / "site", SLOW, {"slow": "Slow"})
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    words = ("sweep", "--shape", "8x8", "--variants", "slow", "--no-ceiling", "--out", "run")
    # Ctrl-C must not be ignored, as it is in a background job of a shell.
    start = "import signal, sys; from mglubench.cli import main\n"
    start += "signal.signal(signal.SIGINT, signal.default_int_handler); sys.argv[0] = 'mglubench'; main()"
    (tmp_path / "start.py").write_text(start)
    running = subprocess.Popen(
        [sys.executable, "start.py", *words],
        cwd=tmp_path,
        env={**plugin.env, "TMPDIR": str(scratch)},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 100
    while not (tmp_path / "at work").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(number)
    assert running.wait(10) == code
    assert len(running.stderr.read().splitlines()) == 1
    assert [path.name for path in scratch.iterdir() if path.name.startswith("mglubench-")] == []
    assert subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True).stdout == b""
    assert (tmp_path / "run" / "rows.jsonl").read_bytes() == b""


def test_a_kill_leaves_no_temporary_folder_behind(tmp_path):
    """Nobody can clean up after SIGKILL, so there must be nothing to clean up."""
    plugin = make_plugin(tmp_path / "site", SLOW, {"slow": "Slow"})
    (tmp_path / "tmp").mkdir()
    words = ("sweep", "--shape", "8x8", "--variants", "slow", "--no-ceiling", "--out", "run")
    environment = {**plugin.env, "TMPDIR": str(tmp_path / "tmp")}
    running = subprocess.Popen([*COMMAND, *words], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 100
    while not (tmp_path / "at work").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.kill()
    running.wait()
    assert [path.name for path in (tmp_path / "tmp").iterdir() if path.name.startswith("mglubench-")] == []
