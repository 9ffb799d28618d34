#!/usr/bin/env python3
"""A stand-in for Nsight Compute's command line; every figure that it reports is synthetic.

It takes the options that mglubench passes, reads the cases from the target's file, and behaves as STUB_NCU says:
``ok``, ``two-kernels``, ``permission`` (exit code 0), ``busy``, ``attached``, ``mig``, ``unknown-metric``, ``empty``,
``driver`` (the target dies, too), ``mystery`` (an error that nobody knows), ``killed``, ``empty-report``, ``dies``
(every case alike), ``withheld`` (MIG: no L2), ``half`` (its import dies after the first kernel), ``no-nvtx``,
``failed-kernel``, ``garbage``, ``garbage-report``, ``nan``, ``wrong-filter``, ``silent``, ``hang``, ``crash:VARIANT``,
``fails:VARIANT``. Bytes read are 1000 for every kernel, times the case's place in the file plus one.
"""

import csv
import json
import os
import sys
import time
from pathlib import Path

HEADER = (
    *("ID", "Process ID", "Process Name", "Host Name"),
    "thread Domain:Push/Pop_Range:PL_Type:PL_Value:CLR_Type:Color:Msg_Type:Msg",
    "Id:Domain:Start/Stop_Range:PL_Type:PL_Value:CLR_Type:Color:Msg_Type:Msg",
    *("Kernel Name", "Context", "Stream", "Block Size", "Grid Size", "Device", "CC"),
)
UNITS = {"bytes": "byte", "sectors": "sector", "duration": "ns", "pct": "%"}
LISTED = os.environ.get("STUB_NCU_LISTS", "dram__bytes_read dram__bytes_write lts__t_sectors_op_read").split()


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def value(metric: str, place: int) -> str:
    if metric.startswith("dram__bytes") and "read" in metric:
        return f"{1000 * (place + 1):,}"
    if metric.startswith("dram__bytes"):
        return "100"
    if "sectors" in metric:
        return "10"
    return "2,000" if "duration" in metric else "50.5"


def profile(arguments: list[str], mode: str) -> int:
    report, log = Path(option(arguments, "--export")), Path(option(arguments, "--log-file"))
    metrics = option(arguments, "--metrics").split(",")
    work = json.loads(Path(arguments[-1]).read_text())
    with Path(os.environ.get("STUB_NCU_CALLS", os.devnull)).open("a") as calls:
        calls.write(json.dumps(arguments) + "\n")
    says = {
        "permission": "==ERROR== ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA GPU Performance "
        "Counters on the target device 0.",
        "busy": "==ERROR== Profiling failed because a driver resource was unavailable. Ensure that no other tool (like "
        "DCGM) is concurrently collecting profiling data.",
        "attached": "==ERROR== Another profiler is attached to the process.",
        "mig": "==ERROR== Profiling is not possible on this MIG instance.",
        "driver": "==ERROR== An error was reported by the driver:\n==ERROR== Cuda driver is not compatible with Nsight "
        "Compute.",
        "failed-kernel": '==ERROR== Failed to profile "gemv" in process 7',
        "mystery": "==ERROR== The moon is full.",
        "withheld": "==WARNING== This is a MIG instance: shared units are withheld.",
        "unknown-metric": f"==ERROR== Failed to find metric regex:^{metrics[0].split('.')[0]}\\.(sum|avg)$",
        "empty": "==WARNING== No kernels were profiled.",
    }
    log.write_text(f"==PROF== Connected to process 7\n{says.get(mode, '')}\n")
    print("the program prints, too")
    if mode == "hang":
        tell(work, work["cases"][0], "begun")
        time.sleep(60)
    if mode == "unknown-metric":
        return 1
    if mode == "silent":
        print("Segmentation fault")
        return 9
    if mode == "killed":
        os.kill(os.getpid(), 9)
    rows = []
    for place, case in enumerate(work["cases"]):
        tell(work, case, "begun")
        if mode in ("driver", "dies"):
            with log.open("a") as said:
                said.write("==ERROR== The application returned an error code (11).\n")
            return 11
        what, _, variant = mode.partition(":")
        if what == "crash" and variant == case["variant"]:
            log.write_text("==ERROR== The application returned an error code (11).\n")
            return 11
        if what == "fails" and variant == case["variant"]:
            tell(work, case, "unsupported", "nm is above 8")
            continue
        tell(work, case, "ok")
        if mode in ("permission", "busy", "attached", "mig", "empty", "mystery", "empty-report"):
            continue
        for _ in range(2 if mode == "two-kernels" else 1):
            rows.append((len(rows), place, case))
    if mode in ("permission", "empty"):
        return 0
    if mode in ("busy", "attached", "mig", "mystery"):
        return 1
    if mode == "empty-report":
        report.write_text("")
        return 0
    report.write_text("junk" if mode == "garbage-report" else json.dumps({"metrics": metrics, "rows": rows}))
    return 0


def tell(work: dict, case: dict, status: str, reason: str = "") -> None:
    with Path(work["outcomes"]).open("a") as file:
        file.write(json.dumps({"key": key_of(case), "status": status, "reason": reason}) + "\n")


def key_of(case: dict) -> str:
    names = ("activation", "mask", "mode", "device")
    middle = "/".join(str(case[name]) for name in ("dtype", *names))
    return f"{case['variant']}/{case['h']}x{case['d']}/nm{case['nm']}/b{case['batch']}/{middle}/seed{case['seed']}"


def show(report: Path, mode: str) -> int:
    try:
        document = json.loads(report.read_text())
    except ValueError:
        print("==ERROR== Failed to import the report")
        return 1
    print("==PROF== Connected to process 7")
    if mode == "garbage":
        print("\x00\x01 not, a, table")
        return 0
    header = [name for name in HEADER if mode != "no-nvtx" or "_Range" not in name]
    out = csv.writer(sys.stdout, quoting=csv.QUOTE_ALL)
    out.writerow([*header, *document["metrics"]])
    units = [next((u for mark, u in UNITS.items() if mark in metric), "") for metric in document["metrics"]]
    out.writerow([*([""] * len(header)), *units])
    for number, place, case in document["rows"]:
        if mode == "half" and number == 1:
            return 9
        ranges = f'"mglubench:{key_of(case)}:none:none:none:none:none:none"'
        if mode == "wrong-filter":
            ranges = '"other:range:none:none:none:none:none:none"'
        cells = dict(zip(HEADER, [""] * len(HEADER), strict=True))
        cells |= {"ID": number, "Process ID": 7, "Kernel Name": "kernel(int)", "CC": "9.0"}
        cells[HEADER[4]] = f'7  {ranges}  "mglubench:timed:none:none:none:none:none:none" '
        nan = mode == "nan"
        values = ["n/a" if nan or ("lts" in m and mode == "withheld") else value(m, place) for m in document["metrics"]]
        out.writerow([*(cells[name] for name in header), *values])
    return 0


def main() -> int:
    arguments, mode = sys.argv[1:], os.environ.get("STUB_NCU", "ok")
    if "--query-metrics" in arguments:
        print("Device NVIDIA Stub (GH000)\n" + "\n".join(f"{name}    Counter    a metric" for name in LISTED))
        return 0
    if "--import" in arguments:
        return show(Path(option(arguments, "--import")), mode)
    return profile(arguments, mode)


sys.exit(main())
