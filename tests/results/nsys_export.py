"""Write timelines as ``nsys export --type sqlite`` does, with the gaps and oddities of real ones; all are synthetic."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

PID = 7 << 24
TID = PID | 9
TABLES = {
    "StringIds": "id INTEGER PRIMARY KEY, value TEXT",
    "NVTX_EVENTS": 'start INT, "end" INT, eventType INT, text TEXT, globalTid INT, textId INT, domainId INT',
    "CUPTI_ACTIVITY_KIND_RUNTIME": 'start INT, "end" INT, globalTid INT, correlationId INT, nameId INT, '
    "returnValue INT",
    "CUPTI_ACTIVITY_KIND_KERNEL": 'start INT, "end" INT, correlationId INT, globalPid INT, graphNodeId INT',
    "CUPTI_ACTIVITY_KIND_GRAPH_TRACE": 'start INT, "end" INT, correlationId INT, globalPid INT, graphId INT',
}
LAUNCH, GRAPH_LAUNCH, CAPTURE = 1, 2, 3
NAMES = {LAUNCH: "cudaLaunchKernel_v7000", GRAPH_LAUNCH: "cudaGraphLaunch_v10000", CAPTURE: "cudaStreamBeginCapture"}


class Export:
    """A timeline under construction."""

    def __init__(self, *, without=(), suffix="", drop_columns=()):
        self.tables = {name: columns for name, columns in TABLES.items() if name not in without}
        self.suffix, self.drop = suffix, set(drop_columns)
        self.rows = {name: [] for name in TABLES}
        self.rows["StringIds"] = [{"id": number, "value": name} for number, name in NAMES.items()]
        self.calls = 0

    def range(self, name, start, end, *, tid=TID, kind=59, domain=1, by_id=False):
        event = {"start": start, "end": end, "eventType": kind, "globalTid": tid, "domainId": domain}
        if by_id:
            self.rows["StringIds"].append({"id": 100 + len(self.rows["StringIds"]), "value": name})
            event["textId"] = self.rows["StringIds"][-1]["id"]
        else:
            event["text"] = name
        self.rows["NVTX_EVENTS"].append(event)
        return self

    def launch(self, called, *spans, tid=TID, graph=False, name=LAUNCH, call=True, result=0, pid=PID):
        """A call, and a kernel or graph for every span."""
        self.calls += 1
        if call:
            self.rows["CUPTI_ACTIVITY_KIND_RUNTIME"].append(
                {
                    "start": called,
                    "end": called + 5,
                    "globalTid": tid,
                    "correlationId": self.calls,
                    "nameId": name,
                    "returnValue": result,
                }
            )
        table = f"CUPTI_ACTIVITY_KIND_{'GRAPH_TRACE' if graph else 'KERNEL'}"
        for start, end in spans:
            self.rows[table].append({"start": start, "end": end, "correlationId": self.calls, "globalPid": pid})
        return self

    def write(self, path: Path) -> Path:
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA synchronous=OFF")
            for table, columns in self.tables.items():
                kept = [c for c in columns.split(", ") if c.split()[0].strip('"') not in self.drop]
                name = table + (self.suffix if table != "StringIds" else "")
                database.execute(f"CREATE TABLE {name} ({', '.join(kept)})")
                for row in self.rows[table]:
                    fields = {field: value for field, value in row.items() if field not in self.drop}
                    quoted = ", ".join(f'"{field}"' for field in fields)
                    marks = ", ".join("?" * len(fields))
                    database.execute(f"INSERT INTO {name} ({quoted}) VALUES ({marks})", tuple(fields.values()))
            database.commit()
        return path
