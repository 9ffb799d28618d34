"""Rooflines: points and roofs by hand, and charts whose texts cover nothing, measured on the drawn figure."""

from __future__ import annotations

import re
from itertools import combinations
from math import cos, hypot, radians, sin

import pandas as pd
import pytest
from matplotlib.text import Text

from mglubench.cases.case import Case
from mglubench.cases.vocabulary import CEILINGS
from mglubench.errors import UsageError
from mglubench.report.chart import PANELS_MAX, save
from mglubench.report.labels import Line
from mglubench.report.roofline import draw, points_of
from mglubench.report.roofs import roofs_of
from mglubench.results.ceilings import remember
from mglubench.results.columns import Columns
from mglubench.results.load_run import load
from mglubench.results.row_block import Block
from mglubench.results.rows import Row
from mglubench.results.store import RunStore
from mglubench.results.stored_row import StoredRow
from mglubench.results.turns import Patterns
from mglubench.variants.registry import get_variant
from tests.conftest import ROOT, make_header, make_row

MASKED = {
    "mglu-naive": 0.85,
    "mglu-premasked": 0.9,
    "mglu-compiled": 0.8,
    "flash-mglu-triton": 0.45,
    "flash-mglu-paper": 0.5,
    "flash-mglu-packed": 0.8,
    "flash-mglu-mma": 0.9,
    "flash-mglu-bulk": 0.93,
}
PLAIN = {"lu": 0.88, "swiglu": 0.8, "swiglu-merged": 0.84, "swiglu-fused": 0.93}


def row(variant, ns, nm=0, **changes):
    layer = get_variant(variant).layer
    case = Case(variant, nm=nm, mask="bernoulli:0.5" if nm else "none", **changes)
    return make_row(
        layer, [ns] * 8, variant=variant, nm=nm, ledger=get_variant(variant).declare(case).to_dict(), **changes
    )


def declared(variant, nm=0, **changes):
    return get_variant(variant).declare(Case(variant, nm=nm, **changes)).total


def frame_of(rows, device="cuda", name="NVIDIA H100 80GB HBM3", fake=False, **record):
    columns = Columns(samples=True)
    columns.read([Block((StoredRow.again(Row.from_dict(entry)) for entry in rows), Patterns())])
    frame = pd.DataFrame(columns.arrays())
    header = make_header(fake=fake)
    header["environment"]["devices"] = {device: {"kind": device, "name": name, **record}}
    frame.attrs["run"] = header
    return frame


def ceiling(rate, device="cuda", mode="cold", h=1 << 14, d=1 << 14):
    place = {"h": h, "d": d, "dtype": "float16", "device": device, "mode": mode}
    return row("stream-read", declared("stream-read", **place) / rate * 1e9, **place)


def product(rate, dtype="float16", device="cuda"):
    place = {"h": 4096, "d": 4096, "batch": 4096, "dtype": dtype, "device": device, "mode": "cold"}
    return row("matrix-product", 2 * 4096**3 / rate * 1e9, **place)


def crowd(rate=3.0e12, device="cuda", **changes):
    """Eight MGLU variants at four nm and four plain layers, as a fast GPU would time them."""
    place = {"h": 2048, "d": 8192, "dtype": "float16", "mode": "cold", "device": device, **changes}
    rows = [ceiling(rate, device)]
    if device == "cuda":
        rows += [ceiling(1.8 * rate, mode="hot", h=2048, d=4096), product(690e12), product(51e12, "float32")]
    for nm, variants in ((0, PLAIN), *((nm, MASKED) for nm in (1, 2, 4, 8))):
        for name, share in variants.items():
            rows.append(row(name, 2000 + declared(name, nm, **place) / rate / share * 1e9, nm, **place))
    return rows


def layers(rows):
    """Without the ceilings."""
    return [entry for entry in rows if entry.layer not in CEILINGS]


def texts_of(figure):
    """Every text inside the panels with its drawn box; the key's and the axes' own are laid out by matplotlib."""
    figure.draw_without_rendering()
    return [
        (text.get_text(), text.get_rotation(), text) for panel in figure.axes for text in panel.texts if text.get_text()
    ]


def corners(text):
    """The box of a drawn text, without the line to its point."""
    box = Text.get_window_extent(text)
    return box.x0, box.y0, box.x1, box.y1


def test_a_points_coordinates_by_hand():
    # 2048 x 8192 fp16, nm = 8: 50,352,128 B and 301,989,888 FLOPs in 20 us.
    frame = frame_of([row("flash-mglu-mma", 20_000, 8, h=2048, d=8192, dtype="float16", device="cuda", mode="cold")])
    (point,) = points_of(frame)
    assert point.bytes == pytest.approx(50_352_128, rel=1e-3)
    assert point.intensity == pytest.approx(5.9976, rel=1e-3)
    assert point.flops_per_s == pytest.approx(301_989_888 / 20e-6)
    assert (point.us, point.counted) == (20.0, False)


def test_counted_bytes_come_before_declared_ones_where_both_directions_are_there():
    rows = [row("flash-mglu-mma", 20_000, nm, h=64, d=64, dtype="float16", device="cuda") for nm in (1, 2, 4)]
    frame = frame_of(rows)
    frame["dram_bytes_read"] = [10_000.0, float("nan"), 20_000.0]
    frame["dram_bytes_written"] = [500.0, 500.0, float("nan")]
    first, second, third = points_of(frame)
    assert (first.bytes, first.counted) == (10_500.0, True)
    assert first.us == 20.0
    assert (second.counted, third.counted) == (False, False)
    assert second.bytes == frame["bytes_total"].iloc[1]


def test_roofs_of_a_known_gpu_are_measured_first_then_the_datasheets():
    roofs = roofs_of(frame_of([ceiling(3.0e12)]), "cuda", "float16")
    assert [(roof.rate, roof.measured) for roof in roofs.memory] == [(pytest.approx(3.0e12), True), (3.35e12, False)]
    assert [roof.rate for roof in roofs.compute] == [989.5e12, 67e12]
    assert [roof.label for roof in roofs.memory] == ["memory, measured 3,000 GB/s", "datasheet 3,350 GB/s"]
    assert roofs.l2_bytes == 50 * 2**20
    assert [roof.rate for roof in roofs_of(frame_of([ceiling(3.0e12)]), "cuda", "float32").compute] == [67e12]


def test_l2_has_a_roof_where_the_run_read_a_buffer_that_fits_in_it_hot():
    rows = [ceiling(3.0e12), ceiling(6.0e12, mode="hot", h=2048, d=4096), ceiling(2.9e12, mode="hot")]
    labels = [roof.label for roof in roofs_of(frame_of(rows), "cuda", "float16").memory]
    assert labels == ["memory, measured 3,000 GB/s", "L2, measured 6,000 GB/s", "datasheet 3,350 GB/s"]


def test_arithmetic_that_was_measured_comes_before_the_datasheets():
    frame = frame_of([ceiling(3.0e12), product(700e12), product(52e12, "float32"), product(9e12, "bfloat16")])
    roofs = roofs_of(frame, "cuda", "float16")
    assert [(roof.label, roof.measured) for roof in roofs.compute] == [
        ("tensor cores, measured 700 TFLOP/s", True),
        ("tensor cores, datasheet 990 TFLOP/s", False),
        ("CUDA cores, fp32, measured 52 TFLOP/s", True),
        ("CUDA cores, fp32, datasheet 67 TFLOP/s", False),
    ]
    cpu = roofs_of(frame_of([product(3e11, "float32", "cpu")], "cpu", "some CPU"), "cpu", "float32")
    assert [roof.label for roof in cpu.compute] == ["matrix product, float32, measured 300 GFLOP/s"]


def test_what_another_run_measured_stands_in_for_what_this_one_did_not(tmp_path, monkeypatch):
    monkeypatch.setenv("MGLUBENCH_CEILINGS", str(tmp_path / "ceilings.json"))
    with RunStore.create(tmp_path / "run", frame_of([ceiling(1e12)]).attrs["run"]) as store:
        for entry in (ceiling(3.1e12), ceiling(5.5e12, mode="hot", h=2048, d=4096), product(600e12)):
            store.append(entry)
    assert remember(tmp_path / "run") == ""
    roofs = roofs_of(frame_of([ceiling(3.0e12)]), "cuda", "float16")
    assert [roof.label for roof in (*roofs.memory, *roofs.compute) if roof.measured] == [
        "memory, measured 3,000 GB/s",
        "L2, measured 2025-01-02 5,500 GB/s",
        "tensor cores, measured 2025-01-02 600 TFLOP/s",
    ]
    assert not any(roof.measured for roof in roofs_of(frame_of(layers(crowd()), fake=True), "cuda", "float16").memory)
    draw(frame_of(layers(crowd())))


def test_an_unknown_gpu_and_a_cpu_have_measured_roofs_alone():
    unknown = roofs_of(frame_of([ceiling(1e12)], name="NVIDIA Something 1", l2_bytes=1234), "cuda", "float16")
    assert ([roof.measured for roof in unknown.memory], unknown.compute, unknown.l2_bytes) == ([True], (), 1234)
    cpu = roofs_of(frame_of([ceiling(50e9, "cpu")], "cpu", "NVIDIA L4"), "cpu", "float32")
    assert ([roof.label for roof in cpu.memory], cpu.compute) == (["memory, measured 50 GB/s"], ())
    assert roofs_of(frame_of(layers(crowd())), "cuda", "float16").memory[0].label == "datasheet 3,350 GB/s"


@pytest.mark.parametrize("kind", ["roofline", "bandwidth"])
def test_no_roof_crosses_a_name_of_roofs_in_the_recorded_picture_of_a_gpu(kind):
    figure = draw(load(ROOT / "reports" / "h100" / "main-job"), kind)
    names = [along(text) for name, _, text in texts_of(figure) if not name.isdigit()]
    assert len(names) >= 3
    assert_no_roof_crosses(figure, names)


def assert_no_roof_crosses(figure, names):
    """Roofs, which are the thick lines, and names apart by their boxes."""
    for drawn in figure.axes[0].lines:
        ends = figure.axes[0].transData.transform(drawn.get_xydata()[[0, -1]])
        if drawn.get_linewidth() > 1:
            roof = boxes_between(*map(tuple, ends), 1.0)
            assert not any(overlap(a, b) for name in names for a in name for b in roof), drawn.get_label()


@pytest.mark.parametrize("kind", ["roofline", "bandwidth"])
@pytest.mark.parametrize("batch", [1, 8])
def test_no_text_of_a_crowded_chart_covers_another_or_leaves_its_panel(kind, batch):
    figure = draw(frame_of(crowd(batch=batch)), kind)
    texts = texts_of(figure)
    digits = [(name, corners(text)) for name, _, text in texts if name.isdigit()]
    assert len(digits) == 32
    assert sorted(name for name, _ in digits) == sorted(["1", "2", "4", "8"] * 8)
    # Slanted names are covered by small boxes along them: their own upright extent holds mostly nothing.
    boxes = [[box] for _, box in digits]
    boxes += [along(text) for name, _, text in texts if not name.isdigit()]
    for one, other in combinations(boxes, 2):
        assert not any(overlap(a, b) for a in one for b in other)
    assert_no_roof_crosses(figure, [along(text) for name, _, text in texts if not name.isdigit()])
    panel = figure.axes[0].get_window_extent()
    for box in (box for group in boxes for box in group):
        assert panel.x0 <= box[0]
        assert box[2] <= panel.x1
        assert panel.y0 <= box[1]
        assert box[3] <= panel.y1


def along(text):
    """Boxes along the middle of a text at any angle, a third of its height to each side."""
    upright = Text.get_window_extent(text)
    angle = radians(text.get_rotation())
    height = text.get_fontsize() * text.figure.dpi / 72
    wide = (upright.width - height * sin(angle)) / cos(angle) - height
    if angle == 0:
        return [corners(text)]
    middle = ((upright.x0 + upright.x1) / 2, (upright.y0 + upright.y1) / 2)
    reach = (wide / 2 * cos(angle), wide / 2 * sin(angle))
    start, end = (middle[0] - reach[0], middle[1] - reach[1]), (middle[0] + reach[0], middle[1] + reach[1])
    return boxes_between(start, end, height / 3)


def boxes_between(start, end, half):
    """Small upright boxes along a slanted stretch, ``half`` to each side."""
    (ax, ay), (bx, by) = start, end
    count = max(1, round(hypot(bx - ax, by - ay) / half))
    middles = [(ax + (bx - ax) * k / count, ay + (by - ay) * k / count) for k in range(count + 1)]
    return [(x - half, y - half, x + half, y + half) for x, y in middles]


def overlap(one, other):
    """Whether two boxes have a common area."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_the_key_names_every_variant_fastest_first():
    figure = draw(frame_of(crowd()))
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert set(names) == {*MASKED, *PLAIN}
    assert names[-1] == "mglu-naive"
    assert names.index("flash-mglu-bulk") < names.index("flash-mglu-triton")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            "roofline",
            (
                "memory, measured 3,000 GB/s",
                "datasheet 3,350 GB/s",
                "tensor cores, datasheet 990 TFLOP/s",
                "FLOP per byte",
            ),
        ),
        ("bandwidth", ("memory, measured 3,000 GB/s", "datasheet 3,350 GB/s", "fits in L2, 50 MiB", "100 us")),
    ],
)
def test_pictures_hold_their_texts(tmp_path, monkeypatch, kind, expected):
    import matplotlib as mpl

    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")
    frame = frame_of(crowd())
    save(draw(frame, kind), tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    save(draw(frame, kind), tmp_path / "chart.svg")
    written = re.sub(r"\s+", " ", (tmp_path / "chart.svg").read_text())
    for words in (*expected, "flash-mglu-bulk", "NVIDIA H100 80GB HBM3", "declared bytes"):
        assert words in written
    assert "FAKE" not in written


def test_a_point_above_the_measured_roof_stays_above_it_in_the_picture():
    """Nothing is clipped: a hot run from the cache may beat memory."""
    rows = [ceiling(3.0e12), row("lu", 5_000, h=2048, d=8192, dtype="float16", device="cuda", mode="hot")]
    figure = draw(frame_of(rows))
    panel = figure.axes[0]
    # 33.6 MFLOP and 33.6 MB in 5 us.
    assert panel.get_ylim()[0] < 33_554_432 / 5e-6 / 1e9 < panel.get_ylim()[1]


def test_filled_markers_are_counted_and_open_ones_declared():
    frame = frame_of(crowd())
    frame["dram_bytes_read"] = [
        float("nan") if nm == 8 else total for nm, total in zip(frame["nm"], frame["bytes_total"], strict=True)
    ]
    frame["dram_bytes_written"] = 0.0
    panel = draw(frame).axes[0]
    assert "filled: DRAM bytes counted by ncu, open: declared" in panel.get_xlabel()
    faces = [line.get_markerfacecolor() for line in panel.lines if line.get_marker() not in ("None", None, "")]
    assert faces.count("white") == len(MASKED)
    assert len(faces) == 4 * len(MASKED) + len(PLAIN)
    frame["dram_bytes_read"] = frame["bytes_total"]
    assert "(DRAM bytes counted by ncu)" in draw(frame).axes[0].get_xlabel()


def test_fake_runs_are_branded_and_many_settings_are_counted():
    rows = [row("lu", 5_000, h=64 * (k + 1), d=64, device="cpu", dtype="float32") for k in range(PANELS_MAX + 2)]
    figure = draw(frame_of(rows, "cpu", "some CPU", fake=True))
    assert len(figure.axes) == PANELS_MAX
    assert figure.get_suptitle() == "FAKE RUN: nothing was measured, first 6 of 8 settings"


def test_nothing_measured_and_another_kind_are_errors():
    with pytest.raises(UsageError, match="this run has no measured case to draw"):
        draw(frame_of([ceiling(3e12)]))
    with pytest.raises(UsageError, match=r"unknown kind of chart 'rooflin'; did you mean roofline\?"):
        draw(frame_of(crowd()), "rooflin")


def test_lines_know_what_they_are():
    measured, sold = Line("a", True, (1, 10), (100, 1000)), Line("a", False, (1, 5), (2, 5))
    assert (measured.colour, sold.colour) == ("0.1", "0.45")
    assert (measured.level, sold.level) == (False, True)
    assert measured.at(0.5) == pytest.approx((10, 100))


@pytest.fixture
def fake_run(cli):
    assert cli("sweep", "--executor", "fake", "--nm", "1,8", "--out", "run").code == 0


@pytest.mark.usefixtures("fake_run")
def test_the_command_writes_both_kinds_and_says_where(cli, tmp_path):
    result = cli("roofline", "run")
    assert (result.code, result.out, result.err) == (0, "", "wrote run/roofline.png\n")
    result = cli("roofline", "run", "--kind", "bandwidth", "--out", "chart.svg")
    assert (result.code, result.err) == (0, "wrote chart.svg\n")
    assert (tmp_path / "run" / "roofline.png").stat().st_size > 10_000
    assert "<svg" in (tmp_path / "chart.svg").read_text()


@pytest.mark.usefixtures("fake_run")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "nowhere holds no run"),
        (("run", "--kind", "pie"), "unknown kind of chart 'pie'; known: roofline, bandwidth"),
        (("run", "--out", "chart.jpg"), "cannot draw 'chart.jpg'; use a name that ends in .png, .svg or .pdf"),
        (("run", "--out", "no/folder.png"), "cannot write no/folder.png"),
    ],
)
def test_bad_input_of_the_command_is_one_line_and_exit_code_two(cli, arguments, words):
    result = cli("roofline", *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert words in result.err
