"""Baselines: saved whole or not at all, never replaced by accident, found by name, path or list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mglubench.errors import StoreError, UsageError
from mglubench.results import save_baseline as saving
from mglubench.results.baselines import (
    FORMAT,
    MANIFEST,
    find_baseline,
    list_baselines,
    read_baseline,
    runs_of,
)
from mglubench.results.frame import load
from mglubench.results.save_baseline import save_baseline
from mglubench.results.store import RunStore
from tests.conftest import make_header, make_row, tree


def make_run(folder: Path, *, time: str = "2025-01-02T03:04:05+00:00", rows: int = 1, **environment: Any) -> Path:
    header = make_header(cases=2)
    header["environment"] = {**header["environment"], "time": time, **environment}
    with RunStore.create(folder, header) as store:
        for nm in range(1, rows + 1):
            store.append(make_row("mglu", [1e6, 2e6, 3e6], nm=nm))
    return folder


def test_a_baseline_holds_all_of_its_runs_oldest_first(tmp_path: Path) -> None:
    git = {"commit": "c" * 40, "dirty": True}
    late = make_run(tmp_path / "late", time="2025-03-01T00:00:00+00:00", rows=2, git=git)
    early = make_run(tmp_path / "early", git=git)
    (early / "worker.log").write_text("not kept")
    saved = save_baseline("main", [late, early], tmp_path / "kept", note="before the change")
    again = find_baseline("main", tmp_path / "kept")
    assert again == saved
    assert [run.name[:3] for run in saved.runs] == ["01-", "02-"]
    assert [run.rows for run in saved.manifest.runs] == [1, 2]
    assert (saved.manifest.commit, saved.manifest.note) == ("c" * 40 + "+", "before the change")
    assert saved.manifest.runs[0].devices == ("hand-made CPU",)
    for run, original in zip(saved.runs, (early, late), strict=True):
        assert {path.name for path in run.iterdir()} == {"run.json", "rows.jsonl"}
        assert (run / "rows.jsonl").read_bytes() == (original / "rows.jsonl").read_bytes()
        assert load(run).equals(load(original))


def test_a_commit_of_ones_own_is_kept(tmp_path: Path) -> None:
    one = make_run(tmp_path / "1", git={"commit": "a" * 40, "dirty": False})
    two = make_run(tmp_path / "2", git={"commit": "b" * 40, "dirty": False})
    assert save_baseline("mixed", [one, two], tmp_path).manifest.commit == ""
    assert save_baseline("own", [one, two], tmp_path, commit="v1").manifest.commit == "v1"


def test_nothing_is_replaced_without_force(tmp_path: Path) -> None:
    one, two = make_run(tmp_path / "1"), make_run(tmp_path / "2", rows=2)
    where = tmp_path / "kept"
    save_baseline("main", [one], where)
    before = tree(where)
    with pytest.raises(UsageError, match=r"baseline 'main' .* already; --force"):
        save_baseline("main", [two], where)
    assert tree(where) == before
    replaced = save_baseline("main", [two], where, force=True)
    assert [path.name for path in (where / "main").iterdir() if path.is_dir()] == [replaced.runs[0].name]
    assert len(load(replaced.runs[0])) == 2


def test_a_baseline_saved_from_itself_keeps_its_rows(tmp_path: Path) -> None:
    saved = save_baseline("main", [make_run(tmp_path / "1")], tmp_path)
    added = save_baseline("main", [*saved.runs, make_run(tmp_path / "2", rows=2)], tmp_path, force=True)
    assert [len(load(run)) for run in added.runs] == [1, 2]


@pytest.mark.parametrize("there", [False, True])
def test_a_save_that_fails_leaves_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    where, run = tmp_path / "kept", make_run(tmp_path / "1")
    if there:
        save_baseline("main", [run], where)
    before = tree(where)

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "publish", full)
    with pytest.raises(UsageError, match="No space left on device"):
        save_baseline("main", [run], where, force=True)
    assert tree(where) == before or (not there and list(where.iterdir()) == [])


def test_what_a_killed_save_left_is_no_baseline(tmp_path: Path) -> None:
    """Runs are copied before the manifest is there: until then there is none."""
    make_run(tmp_path / "main" / "01-deadbeef")
    assert list_baselines(tmp_path) == ([], {})
    with pytest.raises(UsageError, match="no baseline 'main'"):
        find_baseline("main", tmp_path)
    saved = save_baseline("main", [make_run(tmp_path / "1")], tmp_path)
    assert len(saved.runs) == 1


@pytest.mark.parametrize("name", ["", ".hidden", "-f", "a/b", "..", "a,b", "x" * 101, "a b", "ä"])
def test_a_name_is_one_that_a_folder_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no name for a baseline"):
        save_baseline(name, [make_run(tmp_path / "1")], tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_runs_that_say_nothing_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "1")
    with pytest.raises(UsageError, match="given twice"):
        save_baseline("main", [run, run], tmp_path / "kept")
    with pytest.raises(UsageError, match="no finished case"):
        save_baseline("main", [make_run(tmp_path / "2", rows=0)], tmp_path / "kept")
    with pytest.raises(UsageError, match="holds no run"):
        save_baseline("main", [tmp_path / "3"], tmp_path / "kept")
    with pytest.raises(UsageError, match="something else than a baseline"):
        save_baseline("1", [run], tmp_path)
    assert not (tmp_path / "kept").exists()


def test_words_stand_for_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MGLUBENCH_BASELINES", raising=False)
    one = make_run(tmp_path / "one")
    repeats = [make_run(tmp_path / "rep" / f"{n:02d}") for n in (1, 2)]
    kept = save_baseline("main", [one, *repeats])
    assert kept.folder == Path("baselines/main")
    assert runs_of("main") == kept.runs
    assert runs_of("baselines/main") == kept.runs
    assert runs_of("one") == [Path("one")]
    assert runs_of("rep") == [Path("rep/01"), Path("rep/02")]
    assert runs_of("one,rep,one,main") == [Path("one"), Path("rep/01"), Path("rep/02"), *kept.runs]
    # A name comes before a path; with a slash in it, it is a path.
    make_run(tmp_path / "main")
    assert runs_of("main") == kept.runs
    assert runs_of("./main") == [Path("main")]
    monkeypatch.setenv("MGLUBENCH_BASELINES", str(tmp_path / "elsewhere"))
    assert runs_of("main") == [Path("main")]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("mian", "neither a run nor a baseline in kept; did you mean main?"),
        ("zzz", "known: main"),
        ("one,", "has an empty entry"),
        ("one,zzz", "'zzz' is neither"),
        ("empty", "is no run, baseline or folder of repeats"),
        ("file", "is not a run folder"),
        ("file/x", "neither a run nor a baseline"),
        ("", "an empty name is neither"),
    ],
)
def test_what_is_no_run_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    save_baseline("main", [make_run(Path("one"))], Path("kept"))
    Path("empty").mkdir()
    Path("file").write_text("x")
    with pytest.raises(UsageError, match=words) as refused:
        runs_of(given, Path("kept"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": FORMAT + 1}, "upgrade mglubench"),
        ({"format": "x"}, "format"),
        ({"runs": []}, "names no run"),
        ({"runs": 3}, "runs"),
        ({"runs": [{"folder": "../one", "time": ""}]}, "is not in"),
        ({"runs": [{"folder": "gone", "time": ""}]}, "is not in"),
        ({"runs": [{"folder": "x", "time": "", "rows": -1}]}, "rows"),
        ({"saved": None}, "saved"),
    ],
)
def test_a_damaged_manifest_is_one_line(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    saved = save_baseline("main", [make_run(tmp_path / "one")], tmp_path / "kept")
    path = saved.folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(StoreError, match=words) as refused:
        read_baseline(saved.folder)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)
    found, damaged = list_baselines(tmp_path / "kept")
    assert (found, list(damaged)) == ([], [saved.folder])
    # It can be replaced.
    assert save_baseline("main", [tmp_path / "one"], tmp_path / "kept", force=True).runs


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff", '{"format": 1, "format": 1}'])
def test_a_manifest_that_is_no_json_is_one_line(tmp_path: Path, text: str) -> None:
    saved = save_baseline("main", [make_run(tmp_path / "one")], tmp_path)
    (saved.folder / MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(StoreError, match="cannot be read"):
        find_baseline("main", tmp_path)


def test_baselines_are_listed_by_time(tmp_path: Path) -> None:
    for name, year in (("new", 2026), ("old", 2024), ("mid", 2025)):
        save_baseline(name, [make_run(tmp_path / "runs" / name, time=f"{year}-01-01T00:00:00+00:00")], tmp_path / "b")
    assert [found.name for found in list_baselines(tmp_path / "b")[0]] == ["old", "mid", "new"]
    assert list_baselines(tmp_path / "nowhere") == ([], {})
