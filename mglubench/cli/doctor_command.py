"""``mglubench doctor``: what this machine has and lacks."""

from __future__ import annotations

from mglubench.cli import options
from mglubench.cli.output import chosen_format, print_json, print_tables


def doctor(as_json: options.Json = False, wide: options.Wide = False) -> int:
    """Say what this machine has and lacks; exit code 0 if the main job can run, 1 if not."""
    form = chosen_format(as_json=as_json, wide=wide)
    from mglubench.hardware.doctor import can_run, device_names, examine
    from mglubench.report.repeat_tables import repeat_finding
    from mglubench.report.summary import doctor_table

    findings = [*examine(), repeat_finding(device_names())]
    able = can_run(findings)
    if form == "json":
        print_json({"can_run": able, "findings": [finding.to_dict() for finding in findings]})
    else:
        print_tables([doctor_table(findings, able)], form)
    return 0 if able else 1
