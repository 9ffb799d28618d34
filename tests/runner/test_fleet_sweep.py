"""A sweep over a fleet of pretended workers, from the command line and from Python: what is stored, told and asked."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import mglubench
from mglubench.fleet import open_fleet
from mglubench.results.fleet_record import FLEET
from tests.fleet.pretend import Pretended

SWEEP = ("sweep", "--executor", "ray", "--h", "24", "--d", "16", "--nm", "1", "--batch", "1,2", "--no-ceiling")
SWEEP += ("--variants", "swiglu,mglu-naive")
KINDS = {"a": "NVIDIA A100", "b": "NVIDIA H100"}


@pytest.fixture
def fleet(monkeypatch):
    """Sets of whose workers the next fleet consists."""

    def consists(*devices, **more):
        made = Pretended(devices, **more)
        monkeypatch.setattr(open_fleet, "_transport", lambda options, how, log: made)
        return made

    return consists


def change_rows(run, which, **worker):
    """Some rows as if another worker had measured them."""
    rows = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
    for row in filter(which, rows):
        row["worker"].update(worker)
    (run / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_every_kind_measures_every_set_and_no_ratio_crosses_two(fleet, cli, tmp_path):
    made = fleet("a", "b", kinds=KINDS)
    assert cli(*SWEEP, "--out", "run").code == 2
    done = cli(*SWEEP, "--spread", "kinds", "--out", "run")
    assert done.code == 0
    assert made.closed
    frame = mglubench.load(tmp_path / "run")
    assert dict(frame.groupby("device")["worker_uuid"].unique().map(list)) == {"cpu:0": ["a"], "cpu:1": ["b"]}
    assert len(frame) == 8
    # A baseline stands in the set of what is held against it, and a set has one device.
    assert (frame.groupby("set")["worker_uuid"].nunique() == 1).all()
    header = json.loads((tmp_path / "run" / "run.json").read_text())
    names = [device["name"] for device in header["environment"]["devices"].values()]
    assert [name.partition(",")[0] for name in names] == ["NVIDIA A100", "NVIDIA H100"]
    assert "fleet: 1 x NVIDIA A100" in done.out
    assert "no ratio crosses two" in done.out


def test_a_table_says_so_when_rows_of_several_devices_meet_in_it(fleet, cli, tmp_path):
    fleet("a", kinds=KINDS)
    plain = cli(*SWEEP, "--out", "run").out
    assert "devices meet here" not in plain
    change_rows(tmp_path / "run", lambda row: row["key"].startswith("mglu-naive/24x16/nm1/b2/"), uuid="b")
    shown = cli("report", "run").out
    # Under the latencies and the bytes of that setting, and under no other table.
    assert shown.count("rows of 2 devices meet here (a, b); each ratio is of one of them") == 2


def test_a_share_of_the_ceiling_is_of_the_device_that_measured_the_row(fleet, cli, tmp_path):
    fleet("a", kinds=KINDS)
    assert cli(*(word for word in SWEEP if word != "--no-ceiling"), "--mode", "walk", "--out", "run").code == 0
    before = mglubench.derive(mglubench.load(tmp_path / "run", samples=True)).set_index("key")
    layers = before["layer"].isin(["glu", "mglu"])
    assert before.loc[layers, "share_of_ceiling"].notna().all()
    change_rows(tmp_path / "run", lambda row: row["layer"] in ("read", "product"), uuid="b")
    after = mglubench.derive(mglubench.load(tmp_path / "run", samples=True)).set_index("key")
    alone = layers & (before["set"] != before.loc[before["layer"] == "read", "set"].iloc[0])
    assert alone.any()
    assert after.loc[alone, "share_of_ceiling"].isna().all()


def test_what_another_kind_of_device_measured_is_compared_only_by_force(fleet, cli, tmp_path):
    for name, worker in (("one", "a"), ("two", "b")):
        fleet("a")
        assert cli(*SWEEP, "--out", name).code == 0
        change_rows(tmp_path / name, lambda row: True, uuid=worker, device=KINDS[worker])
    told = cli("compare", "one", "two")
    assert told.code == 4
    assert "the device that measured it: NVIDIA A100 before, NVIDIA H100 now" in " ".join(told.out.split())
    assert cli("compare", "one", "two", "--force").code == 0


def test_more_than_3_percent_between_devices_is_a_footnote_of_every_table(fleet, cli, tmp_path):
    fleet("a", "b")
    plain = cli(*SWEEP, "--out", "run")
    assert "differ by 0.0% alone" in plain.out
    assert "not alike to within" not in plain.out
    record = tmp_path / "run" / FLEET
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert {(line["when"], line["how"]) for line in lines if line["what"] == "reference"} == {
        (when, how) for when in ("before", "after") for how in ("alone", "busy")
    }
    for line in lines:
        if line["what"] == "reference" and line["uuid"] == "b" and line["how"] == "busy":
            line["latency_us"] *= 1.05
    lines.append({"what": "left out", "time": lines[0]["time"], "uuid": "b"})
    record.write_text("".join(json.dumps(line) + "\n" for line in lines))
    shown = cli("report", "run").out
    tables = shown.count("Latency and speed-up: ") + shown.count("Memory: ")
    assert tables >= 4
    assert shown.count("differ by 0.0% alone and by 5.0% with all busy") == tables + 1
    assert shown.count("figures of different devices are not alike to within 3%") == tables
    assert shown.count("left out after two failures: b") == tables


def test_a_driver_that_was_lost_is_followed_by_another_that_does_what_is_missing(fleet, cli, tmp_path):
    fleet("a", "b", kinds=KINDS)
    assert cli(*SWEEP, "--spread", "devices", "--out", "run").code == 0
    rows = (tmp_path / "run" / "rows.jsonl").read_text().splitlines()
    whole = {(row["set"], row["key"]) for row in map(json.loads, rows)}
    (tmp_path / "run" / "rows.jsonl").write_text("".join(line + "\n" for line in rows[:2]))
    made = fleet("b", "a", kinds=KINDS)
    assert cli(*SWEEP, "--spread", "devices", "--out", "run", "--resume").code == 0
    found = mglubench.load(tmp_path / "run")
    assert {(row["set"], row["key"]) for _, row in found.iterrows()} == whole
    assert dict(found.groupby("device")["worker_uuid"].unique().map(list)) == {"cpu:0": ["a"], "cpu:1": ["b"]}
    # Beside the missing sets, each device has measured the reference: alone and busy, before and after.
    assert len(made.orders) == 3 + 2 * 4


def test_a_dry_run_lists_the_cases_of_every_kind_and_measures_nothing(fleet, cli, tmp_path):
    made = fleet("a", "b", kinds=KINDS)
    done = cli(*SWEEP, "--spread", "kinds", "--dry-run")
    assert done.code == 0
    assert sum("/cpu:0/" in line for line in done.out.splitlines()) == 4
    assert sum("/cpu:1/" in line for line in done.out.splitlines()) == 4
    assert made.orders == []
    assert made.closed
    assert list(tmp_path.iterdir()) == []


def test_a_fleet_from_python_is_the_same(fleet, tmp_path):
    fleet("a", "b", kinds=KINDS)
    options = {"h": 24, "d": 16, "nm": 1, "ceiling": False, "variants": ["swiglu", "mglu-naive"]}
    frame = mglubench.sweep(executor="ray", kind=["h100"], out=tmp_path / "run", **options)
    assert set(frame["worker_device"]) == {"NVIDIA H100"}
    with pytest.raises(mglubench.MglubenchError, match="--spread is for a fleet"):
        mglubench.sweep(spread="kinds", **options)
    with pytest.raises(mglubench.MglubenchError, match="a fleet measures on one kind of device"):
        mglubench.sweep(executor="ray", device="cpu,cuda", **options)


def test_the_workers_of_a_fleet_are_a_table_and_strangers_an_exit_code(fleet, cli):
    fleet("a", "b", kinds=KINDS)
    shown = cli("fleet")
    assert shown.code == 0
    assert [line.split()[2:4] for line in shown.out.splitlines() if "NVIDIA" in line] == [["A100", "a"], ["H100", "b"]]
    fleet("a", "b", digests={"b": "0123456789abcdef"})
    told = cli("fleet", "--json")
    assert told.code == 1
    found = json.loads(told.out)
    assert [worker["uuid"] for worker in found["workers"]] == ["a"]
    assert found["workers"][0]["health"] == "ok"
    assert "0123456789abcdef" in found["refused"][0]


def test_ray_is_imported_by_a_fleet_on_ray_alone(tmp_path):
    for more in ("", " --device cpu:all"):
        words = f"sweep --executor fake --h 24 --d 16 --nm 1 --variants swiglu --no-ceiling{more}".split()
        code = f"""
import sys
sys.argv = {["mglubench", *words]}
from mglubench.cli import main
try:
    main()
except SystemExit as left:
    assert left.code == 0
assert "mglubench.runner.sweep" in sys.modules
assert "ray" not in sys.modules
"""
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
