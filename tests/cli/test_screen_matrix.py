"""Commands that only read, on recorded runs: names and figures are whole on every kind of screen."""

from __future__ import annotations

import re

import pytest

from tests.cli.screens import without_style
from tests.conftest import ROOT

REPORTS = ROOT / "reports"
COMMANDS = {
    "report": ("report", str(REPORTS / "h100" / "main-job")),
    "runs": ("runs", str(REPORTS)),
    "variants": ("variants", "--device", "cuda"),
    "predict": ("predict", "--gpu", "RTX 5090", "--model", "llama-3.2-1b"),
    "against": ("predict", "--against", str(REPORTS / "h100" / "main-job")),
    "compare": ("compare", *(str(REPORTS / "calibration" / name) for name in ("01", "02")), "--all"),
    "repeat": ("repeat", "--of", *(str(REPORTS / "cpu-repeats" / name) for name in ("01", "02", "03"))),
    "experiment": ("experiment", "ablation", "--of", str(REPORTS / "ablation")),
}
SCREENS = (
    {"COLUMNS": "40"},
    {"COLUMNS": "80", "TERM": "dumb", "FORCE_COLOR": "1"},
    {"COLUMNS": "80", "FORCE_COLOR": "1"},
    {"COLUMNS": "100", "NO_COLOR": "1"},
)
FIGURE = re.compile(r"[-+]?[\d,]*\.\d+%?")
NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)+(?=  )")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_screen_takes_no_name_and_cuts_no_figure(cli, monkeypatch, tmp_path, command):
    monkeypatch.setenv("MGLUBENCH_REPEATS", str(tmp_path / "repeats.json"))
    whole = cli(*command, "--wide")
    words = set(whole.out.split())
    names = {found[0] for line in whole.out.splitlines() if (found := NAME.match(line))}
    for screen in SCREENS:
        with monkeypatch.context() as there:
            for name, value in screen.items():
                there.setenv(name, value)
            shown = cli(*command)
        out = without_style(shown.out)
        assert (shown.code, "\x1b" in out, "\N{HORIZONTAL ELLIPSIS}" in out) == (whole.code, False, False)
        assert max(map(len, out.splitlines())) <= int(screen["COLUMNS"])
        # Below 80 columns a name may be broken over lines, where figures leave it no room.
        seen = out if int(screen["COLUMNS"]) >= 80 else "".join(out.split())
        assert not [name for name in names if name not in seen], screen
        assert not [word for word in out.split() if FIGURE.fullmatch(word) and word not in words], screen
