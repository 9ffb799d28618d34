"""The ``mglubench`` program: its commands, and how errors reach a person."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated, NoReturn

import typer

from mglubench.cli import kernels, predict, profile, runs, sweep, tools
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
    try:
        result = app(standalone_mode=False)
        code = result if isinstance(result, int) else 0
        sys.stdout.flush()
    except MglubenchError as error:
        code = _complain(str(error))
    except KeyboardInterrupt:
        code = _complain("interrupted; finished rows are kept", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader has left (a pager, head): nothing more to say, and nothing to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        code = _complain(error.format_message())
    sys.exit(code)


def _complain(message: str, code: int = EXIT_USAGE) -> int:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    return code
