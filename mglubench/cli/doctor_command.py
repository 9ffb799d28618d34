"""``mglubench doctor``: what this machine has and lacks."""

from __future__ import annotations

from mglubench.cli import options
from mglubench.cli.output import print_json, print_tables


def doctor(as_json: options.Json = False) -> int:
    """Say what this machine has and lacks; exit code 0 if the main job can run, 1 if not."""
    from mglubench.hardware.doctor import can_run, device_names, examine
    from mglubench.report.repeat_tables import repeat_finding
    from mglubench.report.summary import doctor_table

    findings = [*examine(), repeat_finding(device_names())]
    able = can_run(findings)
    if as_json:
        print_json({"can_run": able, "findings": [finding.to_dict() for finding in findings]})
    else:
        print_tables([doctor_table(findings, able)], "rich")
    return 0 if able else 1
