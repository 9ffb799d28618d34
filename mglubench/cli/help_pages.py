"""Help of a command: options in groups, and examples; plain text, because what would frame it is slow to import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from typer.core import TyperCommand

if TYPE_CHECKING:
    from typer._click.core import Context
    from typer._click.formatting import HelpFormatter

# Where an option of a command belongs.
WHAT, HOW, RUN, OUTPUT = "What to measure", "How long and how well", "The run", "Output"
FLEET = "Many devices"
ARGUMENTS, OPTIONS = "Arguments", "Options"

# By the words behind ``mglubench``.
EXAMPLES: dict[str, Sequence[str]] = {
    "sweep": (
        "mglubench sweep --h 2048 --d 8192 --nm 1,2,4,8",
        "mglubench sweep --model llama-3.2-1b,qwen3-8b --nm 1..4 --batch pow2:1..16 --max-seconds 0.2",
    ),
    "fleet": ("mglubench fleet --executor ray --address auto",),
    "repeat": ("mglubench repeat --config quick --times 12",),
    "compare": ("mglubench compare main last --markdown",),
    "report": ("mglubench report last --wide",),
    "plot": ("mglubench plot last --out latency.svg",),
    "roofline": ("mglubench roofline last --kind bandwidth",),
    "saving": ("mglubench saving last",),
    "samples": ("mglubench samples last --variants swiglu,mglu-numba-cpu",),
    "predict": ('mglubench predict --gpu "RTX 5090" --shape 4096x14336',),
    "runs": ("mglubench runs",),
    "baseline save": ("mglubench baseline save main last",),
    "baseline list": ("mglubench baseline list",),
    "baseline show": ("mglubench baseline show main",),
    "history": ("mglubench history",),
    "gate": ("mglubench gate --baseline main --fail-on slower",),
    "profile": ("mglubench profile last --tool ncu",),
    "import": ("mglubench import report.ncu-rep --run last",),
    "variants": ("mglubench variants --device cuda",),
    "verify": ("mglubench verify --variants mglu-numba-cpu --dtype float32",),
    "doctor": ("mglubench doctor",),
    "build": ("mglubench build --arch sm_90a --nm 1,8",),
    "inspect": ("mglubench inspect --arch sm_90a --nm 1,8",),
    "tune": ("mglubench tune --variants flash-mglu-mma --shape 2048x8192",),
    "campaign": ("mglubench campaign --slice-seconds 540",),
    "experiment ablation": ("mglubench experiment ablation --quick",),
    "experiment masks": ("mglubench experiment masks --quick",),
    "experiment convert": ("mglubench experiment convert --quick",),
}


class GroupedCommand(TyperCommand):
    """A command whose help has a section for every group of options, and its examples at the end."""

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Arguments first, then the groups in the order of their first options."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                plain = ARGUMENTS if parameter.param_type_name == "argument" else OPTIONS
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or plain, []).append(record)
        for title, records in groups.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def format_epilog(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Examples, a line each."""
        names: list[str] = []
        while ctx.parent is not None:
            names.insert(0, str(ctx.info_name))
            ctx = ctx.parent
        examples = EXAMPLES.get(" ".join(names), ())
        if examples:
            with formatter.section("Examples" if len(examples) > 1 else "Example"):
                for line in examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
