"""Pictures beside the roofline: looks that stay, ticks that can be read, and the view that fits what a run varies."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex

from mglubench.errors import UsageError
from mglubench.report.looks import COLOURS, MASKED, PLAIN, look_of
from mglubench.report.plot import latency_plot
from mglubench.report.samples_plot import samples_plot
from mglubench.report.ticks import ReadableLog, in_words
from mglubench.results.frame import load
from mglubench.results.metrics import derive
from mglubench.variants.registry import BUILT_IN, get_variant, variants
from tests.conftest import ROOT

RUN = ROOT / "reports" / "cpu-main-job"


@pytest.fixture(scope="module")
def frame():
    return derive(load(RUN, samples=True))


def names_of(panel):
    return [text.get_text() for text in panel.get_legend().get_texts()]


def test_every_built_in_layer_has_a_look_of_its_own():
    layers = {name: get_variant(name).layer for name in variants() if get_variant(name).layer in ("mglu", "glu", "lu")}
    assert len(layers) < len(BUILT_IN)
    assert set(layers) - {*MASKED, *PLAIN} == set()
    looks = [(look.colour, look.marker) for name, layer in layers.items() for look in [look_of(name, layer)]]
    assert len(set(looks)) == len(looks)
    # What meets in a CPU's tables differs in colour alone.
    met = [look_of(name, "mglu").colour for name in MASKED[: len(COLOURS)]]
    assert len(set(met)) == len(COLOURS)


def test_a_look_depends_on_the_name_alone():
    assert look_of("theirs", "mglu") == look_of("theirs", "mglu")
    assert look_of("theirs", "mglu").place >= len(MASKED)
    assert look_of("mglu-naive", "mglu").place == 0
    assert look_of("theirs", "glu").colour.startswith("0.")


@given(low=st.floats(1e-6, 1e9), span=st.floats(1.2, 1e9))
def test_a_logarithmic_axis_has_three_ticks_or_more_in_sight(low, span):
    ticks = ReadableLog().tick_values(low, low * span)
    assert len(ticks) >= 3
    assert all(low <= tick <= low * span for tick in ticks)
    assert len({in_words(float(tick), "") for tick in ticks}) == len(ticks)


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (2500, "us", "2.5 ms"),
        (0.25, "us", "250 ns"),
        (1e6, "us", "1 s"),
        (300, "us", "300 us"),
        (0, "us", "0"),
        (33554, "MB", "33.6 GB"),
        (0.1, "", "0.1"),
        (990e3, "GFLOP/s", "990 TFLOP/s"),
    ],
)
def test_figures_at_ticks_are_in_units_that_people_read(value, unit, words):
    assert in_words(value, unit) == words


def test_latencies_are_drawn_over_masks_with_the_device_in_the_title(frame):
    (panel,) = latency_plot(frame).axes
    assert "AMD EPYC" in panel.get_title(loc="left")
    assert [label.get_text() for label in panel.get_xticklabels()] == ["1", "2", "4", "8"]
    ends = frame[(frame["nm"] == 8) | ((frame["nm"] == 0) & frame["layer"].isin(["lu", "glu"]))]
    slowest_first = ends[ends["status"] == "ok"].sort_values("latency_us", ascending=False)["variant"].tolist()
    assert [name for name in names_of(panel) if not name.startswith("floor")] == slowest_first


def test_one_number_of_masks_is_drawn_as_bars_from_zero_the_fastest_on_top(frame):
    (panel,) = latency_plot(frame[frame["nm"].isin([0, 4])]).axes
    drawn = frame[frame["nm"].isin([0, 4]) & frame["layer"].isin(["lu", "glu", "mglu"])].sort_values("latency_us")
    widths = [bar.get_width() for bar in panel.patches]
    assert widths == drawn["latency_us"].tolist()[::-1]
    assert {bar.get_x() for bar in panel.patches} == {0.0}
    assert panel.get_yticklabels()[-1].get_text() == "mglu-numba-cpu, nm=4"
    colours = {to_hex(bar.get_facecolor()) for bar in panel.patches}
    assert to_hex(look_of("mglu-numba-cpu", "mglu").colour) in colours


def test_several_batches_are_drawn_over_tokens(frame):
    later = frame.assign(batch=4, latency_us=frame["latency_us"] * 2)
    both = pd.concat([frame, later])
    both.attrs = frame.attrs
    (panel,) = latency_plot(both).axes
    assert panel.get_xlabel() == "tokens"
    assert [label.get_text() for label in panel.get_xticklabels()] == ["1", "4"]
    assert "token" not in panel.get_title(loc="left")
    assert names_of(panel)[-4:] == ["nm=1", "nm=2", "nm=4", "nm=8"]
    assert names_of(panel)[0] == "mglu-naive"


def test_samples_are_drawn_by_round_and_process(frame):
    figure = samples_plot(frame, ["mglu-numba-cpu"], [1])
    (panel,) = figure.axes
    (row,) = frame[(frame["variant"] == "mglu-numba-cpu") & (frame["nm"] == 1)].to_dict("records")
    drawn = [value for line in panel.lines if line.get_marker() == "." for value in line.get_ydata()]
    assert drawn == [value / 1e3 for value in row["samples_ns"]]
    assert names_of(panel) == [f"process {k + 1}" for k in sorted({turn.process for turn in row["rounds_of"]})]
    assert len(samples_plot(frame).axes) == 2
    with pytest.raises(UsageError, match="no measured case of this run has such a variant and nm"):
        samples_plot(frame, ["mglu-numba-cpu"], [3])


def test_commands_write_their_pictures(cli, tmp_path):
    assert cli("sweep", "--executor", "fake", "--nm", "1,8", "--batch", "1,4", "--out", "run").code == 0
    for command in ("plot", "saving", "samples"):
        done = cli(command, "run", "--out", f"{command}.svg")
        assert (done.code, done.out, done.err) == (0, "", f"wrote {command}.svg\n")
        assert "<svg" in (tmp_path / f"{command}.svg").read_text()
    refused = cli("samples", "run", "--nm", "x")
    assert (refused.code, refused.err) == (2, "error: nm must be a whole number, got 'x'\n")
