#!/usr/bin/env python3
"""A stand-in for Nsight Systems' command line, which exports a SQLite database of the documented schema.

Every time in it is synthetic: kernels of 1,000 ns, 500 ns apart, one per launch. STUB_NSYS is ``ok``, ``no-kernels``,
``no-report``, ``garbage``, ``empty-report``, ``refused``, ``killed`` or ``half`` (its export dies half-way).
"""

import json
import os
import sqlite3
import sys
from pathlib import Path

SCHEMA = """
    CREATE TABLE StringIds (id INTEGER PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE NVTX_EVENTS (start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL, rangeId INTEGER,
        category INTEGER, color INTEGER, text TEXT, globalTid INTEGER, endGlobalTid INTEGER, textId INTEGER,
        domainId INTEGER, uint64Value INTEGER);
    CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER NOT NULL, end INTEGER NOT NULL, eventClass INTEGER NOT NULL,
        globalTid INTEGER, correlationId INTEGER, nameId INTEGER NOT NULL, returnValue INTEGER NOT NULL);
    CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER NOT NULL,
        contextId INTEGER NOT NULL, streamId INTEGER NOT NULL, correlationId INTEGER, globalPid INTEGER,
        demangledName INTEGER NOT NULL, shortName INTEGER NOT NULL);
"""
PID = 7 << 24
TID = PID | 9


def write(path: Path, keys: list[str], launches: int) -> None:
    """A timeline: per case a range of its key, a warm-up kernel in it, and a timed range with one kernel per launch."""
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path)
    database.executescript(SCHEMA)
    database.executemany("INSERT INTO StringIds VALUES (?, ?)", [(1, "cudaLaunchKernel"), (2, "kernel"), (3, "timed")])
    now, call = 0, 0

    def kernel(at: int) -> None:
        nonlocal call
        call += 1
        database.execute("INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES (?,?,0,?,?,1,0)", (at, at + 5, TID, call))
        # Another process may use the same correlation id.
        for pid, start in ((PID, at + 50), (8 << 24, at + 7)):
            database.execute(
                "INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (?,?,0,1,7,?,?,2,2)", (start, start + 1000, call, pid)
            )

    def event(start: int, end: int, text: str | None, text_id: int | None) -> None:
        database.execute(
            "INSERT INTO NVTX_EVENTS VALUES (?,?,59,NULL,NULL,NULL,?,?,NULL,?,1,NULL)", (start, end, text, TID, text_id)
        )

    for key in keys:
        end = now + 10_000 + 1500 * launches
        event(now, end, key, None)
        kernel(now + 100)
        event(now + 5000, end - 100, None, 3)
        for launch in range(launches):
            kernel(now + 5010 + 1500 * launch)
        now = end + 1000
    database.commit()
    database.close()


def key_of(case: dict) -> str:
    middle = "/".join(str(case[name]) for name in ("dtype", "activation", "mask", "mode", "device"))
    return f"{case['variant']}/{case['h']}x{case['d']}/nm{case['nm']}/b{case['batch']}/{middle}/seed{case['seed']}"


def main() -> int:
    mode = os.environ.get("STUB_NSYS", "ok")
    output = Path(next(word for word in sys.argv if word.startswith("--output=")).partition("=")[2])
    if sys.argv[1] == "profile":
        work = json.loads(Path(sys.argv[-1]).read_text())
        keys = [key_of(case) for case in work["cases"]]
        with Path(work["outcomes"]).open("a") as outcomes:
            for key in keys:
                outcomes.write(json.dumps({"key": key, "status": "ok", "reason": ""}) + "\n")
        if mode == "refused":
            print("ERROR: the target driver version 1.0 is not supported", file=sys.stderr)
            return 1
        if mode == "killed":
            os.kill(os.getpid(), 9)
        if mode == "empty-report":
            output.write_text("")
        elif mode != "no-report":
            output.write_text(json.dumps({"keys": keys, "launches": work["launches"]}))
        return 0
    recorded = json.loads(Path(sys.argv[-1]).read_text())
    if mode == "garbage":
        output.write_text("this is no database")
    else:
        write(output, recorded["keys"] if mode in ("ok", "half") else [], recorded["launches"])
    if mode == "half":
        print("ERROR: no space left", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
