"""The history of cases over baselines: in order of time, devices apart, the change where it was planted."""

from __future__ import annotations

from pathlib import Path

import pytest

from mglubench.report.baseline_tables import BARS, SPARK, history_tables, sparkline
from mglubench.results.baseline_latencies import latencies_of
from mglubench.results.baselines import Baseline, list_baselines
from mglubench.results.history import histories
from mglubench.results.save_baseline import save_baseline
from mglubench.results.store import RunStore
from tests.conftest import make_header, make_row


def make_baseline(
    where: Path, number: int, latencies: dict[str, list[float]], *, device: str = "hand-made CPU", year: int = 2025
) -> Baseline:
    """A baseline of as many runs as there are latencies (us) of each variant."""
    runs = []
    for run in range(max(map(len, latencies.values()))):
        header = make_header()
        header["environment"] |= {
            "time": f"{year}-01-{number + 1:02d}T0{run}:00:00+00:00",
            "devices": {"cpu": {"kind": "cpu", "name": device}},
            "git": {"commit": f"{number:02d}" * 20, "dirty": False},
        }
        runs.append(where / "runs" / f"{device}-{number}-{run}")
        with RunStore.create(runs[-1], header) as store:
            for variant, values in latencies.items():
                if run < len(values):
                    layer = "mglu" if variant.startswith("mglu") else "glu"
                    nm = 2 if layer == "mglu" else 0
                    store.append(make_row(layer, [values[run] * 1000] * 5, variant=variant, nm=nm))
    return save_baseline(f"b{number:02d}-{device[:3]}", runs, where / "kept")


def test_the_latency_of_a_baseline_is_the_median_of_its_runs(tmp_path: Path) -> None:
    saved = make_baseline(tmp_path, 1, {"mglu-naive": [10, 30, 20], "swiglu": [5]})
    naive, glu = latencies_of(saved).values()
    assert (naive.latency_us, naive.runs, naive.case.variant) == (pytest.approx(20), 3, "mglu-naive")
    assert naive.deviation == pytest.approx(0.555, abs=0.01)
    assert (glu.latency_us, glu.runs, glu.deviation) == (pytest.approx(5), 1, None)


def test_a_planted_change_is_found_in_its_case_alone(tmp_path: Path) -> None:
    wobble = [0.0, 0.4, -0.3, 0.2, -0.4, 0.3, -0.1, 0.1, 0.2, -0.2]
    for number, away in enumerate(wobble):
        slow = 115 if number >= 6 else 100
        make_baseline(tmp_path, number, {"mglu-naive": [slow + away], "swiglu": [50 - away / 2]})
    naive, glu = histories(list_baselines(tmp_path / "kept")[0])
    (change,) = naive.changes
    assert (change.at.baseline, change.at.commit) == ("b06-han", "06" * 20)
    assert change.change == pytest.approx(0.15, abs=0.01)
    assert (glu.changes, glu.outliers, glu.last) == ((), (), None)
    assert [point.baseline for point in glu.points] == [f"b{n:02d}-han" for n in range(10)]


def test_other_devices_have_histories_of_their_own(tmp_path: Path) -> None:
    for number in range(6):
        make_baseline(tmp_path, number, {"mglu-naive": [100]})
        make_baseline(tmp_path, number, {"mglu-naive": [10]}, device="another CPU")
    found = histories(list_baselines(tmp_path / "kept")[0])
    assert sorted((one.devices, len(one.points), one.changes) for one in found) == [
        (("another CPU",), 6, ()),
        (("hand-made CPU",), 6, ()),
    ]


def test_a_case_that_came_later_has_a_shorter_history(tmp_path: Path) -> None:
    make_baseline(tmp_path, 0, {"swiglu": [5]})
    make_baseline(tmp_path, 1, {"swiglu": [5], "mglu-naive": [9]})
    glu, naive = histories(list_baselines(tmp_path / "kept")[0])
    assert (len(glu.points), len(naive.points), naive.deviation) == (2, 1, None)


def test_bars_are_not_steeper_than_the_noise() -> None:
    assert sparkline([100, 100, 100]) == BARS[4] * 3
    assert set(sparkline([100, 100.5, 99.5])) <= set(BARS[3:6])
    assert sparkline([100, 200])[0] + sparkline([100, 200])[-1] == BARS[0] + BARS[-1]
    assert len(sparkline(range(1, 100))) == SPARK


def test_the_table_is_80_columns_wide(tmp_path: Path) -> None:
    from io import StringIO

    from rich.console import Console

    from mglubench.report.render import to_rich

    for number in range(8):
        slow = 1_234_567 if number > 3 else 2_345_678
        make_baseline(tmp_path, number, {"mglu-naive-complement": [slow], "swiglu": [50]})
    texts = []
    for table in history_tables(histories(list_baselines(tmp_path / "kept")[0])):
        written = StringIO()
        Console(width=200, file=written).print(to_rich(table))
        text = written.getvalue()
        texts.append(text)
        assert max(map(len, text.splitlines())) <= 80
        assert all(len(note) <= 80 for note in table.notes)
    assert "-47.4% at 0404040404" in "".join(texts)
