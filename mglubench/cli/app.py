"""The ``mglubench`` program: its commands, and how errors reach a person."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import typer

from mglubench.cli.baseline_command import baseline
from mglubench.cli.build_command import build
from mglubench.cli.campaign_command import campaign
from mglubench.cli.compare_command import compare
from mglubench.cli.doctor_command import doctor
from mglubench.cli.experiment_command import experiment
from mglubench.cli.fleet_command import fleet
from mglubench.cli.gate_command import gate
from mglubench.cli.help_pages import GroupedCommand
from mglubench.cli.history_command import history
from mglubench.cli.import_command import import_report
from mglubench.cli.inspect_command import inspect
from mglubench.cli.plot_command import plot
from mglubench.cli.predict_command import predict
from mglubench.cli.profile_command import profile
from mglubench.cli.repeat_command import repeat
from mglubench.cli.report_command import report
from mglubench.cli.roofline_command import roofline
from mglubench.cli.runs_command import runs
from mglubench.cli.samples_command import samples
from mglubench.cli.saving_command import saving
from mglubench.cli.start import complain, refuse
from mglubench.cli.streams import drop_output
from mglubench.cli.sweep_command import sweep
from mglubench.cli.tune_command import tune
from mglubench.cli.variants_command import variants
from mglubench.cli.verify_command import verify
from mglubench.errors import MglubenchError

app = typer.Typer(
    name="mglubench",
    help="Measure gated feed-forward layers: SwiGLU against the Masked Gated Linear Unit (MGLU), on CPUs and GPUs.",
    add_completion=True,
    # Help as plain text: what would frame it takes longer to import than all the rest.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
# In the order of the help.
COMMANDS: dict[str, Callable[..., Any] | typer.Typer] = {
    "sweep": sweep,
    "repeat": repeat,
    "compare": compare,
    "report": report,
    "plot": plot,
    "roofline": roofline,
    "saving": saving,
    "samples": samples,
    "predict": predict,
    "runs": runs,
    "baseline": baseline,
    "history": history,
    "gate": gate,
    "profile": profile,
    "import": import_report,
    "variants": variants,
    "verify": verify,
    "doctor": doctor,
    "fleet": fleet,
    "build": build,
    "inspect": inspect,
    "tune": tune,
    "campaign": campaign,
    "experiment": experiment,
}
for _name, _command in COMMANDS.items():
    if isinstance(_command, typer.Typer):
        app.add_typer(_command, name=_name, short_help=_command.info.help)
        continue
    # The whole first line: what is derived from it would be cut at the width of the screen.
    app.command(_name, cls=GroupedCommand, short_help=(_command.__doc__ or "").partition("\n")[0])(_command)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mglubench {version('mglubench')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the program itself; without a command, the help."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run() -> int:
    """Run the command line; its exit code. Every foreseen error is one line on standard error and exit code 2."""
    warnings.showwarning = lambda message, *rest, **more: complain(str(message), "warning")
    warnings.simplefilter("default", UserWarning)
    try:
        result = app(standalone_mode=False)
        sys.stdout.flush()
    except MglubenchError as error:
        return refuse(str(error))
    except ModuleNotFoundError as error:
        if error.name in (None, "mglubench"):
            raise
        return refuse(f"this command needs {error.name}, which is not installed here; pip install {error.name}")
    except BrokenPipeError:
        # The reader has left (a pager, head): nothing more to say.
        drop_output()
        return 0
    except OSError as error:
        drop_output()
        return refuse(f"cannot read or write: {error}")
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return refuse(error.format_message())
    # Ctrl-C comes back from typer as its exit code.
    return result if isinstance(result, int) else 0
