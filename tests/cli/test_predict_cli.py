"""``mglubench predict`` from the command line: formats, exit codes, one-line errors."""

from __future__ import annotations

import json

import pytest

from mglubench.system.resources import data_folder


def test_a_table_is_printed_and_called_an_estimate(cli):
    result = cli("predict", "--gpu", "RTX 5090", "--shape", "2048x8192", "--nm", "1,8")
    assert (result.code, result.err) == (0, "")
    assert "Estimate for RTX 5090, no layer measured: h=2048 d=8192, 1 token, float16" in result.out
    assert "19.91" in result.out
    assert "28.10" in result.out


def test_json_holds_the_gpu_with_sources_and_raw_values(cli):
    result = cli("predict", "--gpu", "h100", "--h", "2048", "--d", "8192", "--nm", "8", "--json")
    document = json.loads(result.out)
    assert (document["gpu"]["name"], document["estimate"]) == ("H100 SXM", True)
    assert "https://" in document["gpu"]["sources"]["bandwidth"]
    row = next(row for row in document["tables"][0]["rows"] if row["nm"] == 8)
    assert row["floor_us"] == pytest.approx(15.0305, abs=1e-4)


def test_markdown_has_a_heading_per_table(cli):
    result = cli("predict", "--gpu", "L4", "--nm", "2", "--markdown")
    assert result.out.count("### ") == 4
    assert "### Estimate for L4, no layer measured" in result.out
    assert "**MGLU, packed masks**" in result.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--gpu", "A100"), "no data on a GPU 'A100'; did you mean A100 SXM 40GB"),
        (("--gpu", "H100", "--nm", "17"), "nm is 17; allowed: 1 to 16"),
        (("--gpu", "H100", "--shape", "2048"), "shape '2048' is not HxD"),
        (("--gpu", "H100", "--h", "1,2", "--d", "1,2,3"), "--h has 2 values and --d has 3"),
        (("--gpu", "H100", "--dtype", "fp12"), "unknown dtype 'fp12'"),
        (("--gpu", "H100", "--batch", "many"), "batch must be a whole number, got 'many'"),
        (("--gpu", "H100", "--json", "--markdown"), "choose one of --json and --markdown"),
        ((), "Missing option '--gpu'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(cli, arguments, words):
    result = cli("predict", *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert words in result.err


@pytest.fixture
def card_run():
    return data_folder("reports") / "h100" / "main-job"


def test_the_model_beside_a_run_of_a_card(cli, card_run):
    result = cli("predict", "--against", str(card_run), "--datasheet", "--json")
    (table,) = json.loads(result.out)["tables"]
    rows = {(row["variant"], row["shape"], row["nm"]): row for row in table["rows"]}
    assert len(rows) == len(table["rows"]) == 19
    mma = rows["flash-mglu-mma", "2048x8192", 1]
    assert mma["latency_us"] == pytest.approx(16.8, abs=0.05)
    assert mma["off"] == pytest.approx(mma["us"] / mma["latency_us"] - 1)
    assert all(abs(rows["stream-read-cuda", shape, 0]["off"]) < 0.05 for shape in ("2048x8192", "4096x131072"))
    assert any(note.startswith("flash-mglu-paper: the model is off by") for note in table["notes"])


def test_a_run_without_a_card_has_no_model(cli):
    result = cli("predict", "--against", str(data_folder("reports") / "cpu-main-job"))
    assert (result.code, result.out) == (2, "")
    assert "the launch model knows nothing of a run without a GPU" in result.err
