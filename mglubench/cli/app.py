"""The ``mglubench`` program: its commands, and how errors reach a person."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from mglubench.cli import campaign_command as campaign
from mglubench.cli import kernel_commands as kernels
from mglubench.cli import predict_command as predict
from mglubench.cli import profile_command as profile
from mglubench.cli import roofline_command as roofline
from mglubench.cli import run_commands as runs
from mglubench.cli import sweep_command as sweep
from mglubench.cli import tool_commands as tools
from mglubench.errors import MglubenchError

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="mglubench",
    help="Measure gated feed-forward layers: SwiGLU against the Masked Gated Linear Unit (MGLU), on CPUs and GPUs.",
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("sweep")(sweep.sweep)
app.command("report")(runs.report)
app.command("plot")(runs.plot)
app.command("roofline")(roofline.roofline)
app.command("predict")(predict.predict)
app.command("runs")(runs.runs)
app.command("profile")(profile.profile)
app.command("import")(profile.import_report)
app.command("variants")(tools.variants)
app.command("verify")(tools.verify)
app.command("doctor")(tools.doctor)
app.command("build")(kernels.build)
app.command("inspect")(kernels.inspect)
app.command("tune")(kernels.tune)
app.command("campaign")(campaign.campaign)


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


def main() -> NoReturn:
    """Run the program; every foreseen error is one line on standard error and exit code 2."""
    warnings.showwarning = lambda message, *rest, **more: print(f"warning: {message}", file=sys.stderr)
    warnings.simplefilter("default", UserWarning)
    sys.exit(_run())


def _run() -> int:
    """The exit code of the command; what is known to go wrong, in words."""
    try:
        result = app(standalone_mode=False)
        sys.stdout.flush()
    except MglubenchError as error:
        return _complain(str(error))
    except BrokenPipeError:
        # The reader has left (a pager, head): nothing more to say.
        _drop_output()
        return 0
    except OSError as error:
        _drop_output()
        return _complain(f"cannot read or write: {error}")
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return _complain(error.format_message())
    code = result if isinstance(result, int) else 0
    # Ctrl-C comes back from typer as its exit code.
    return _complain("interrupted; finished rows are kept", code) if code == EXIT_INTERRUPTED else code


def _drop_output() -> None:
    """Let the flush at exit go nowhere: standard output is closed, or full."""
    # A stream without a descriptor (a test's, a notebook's) has nothing to flush to a full disk.
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(message: str, code: int = EXIT_USAGE) -> int:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    return code
