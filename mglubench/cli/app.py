"""The ``mglubench`` program: its commands, and how errors reach a person."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer

from mglubench.cli.build_command import build
from mglubench.cli.campaign_command import campaign
from mglubench.cli.doctor_command import doctor
from mglubench.cli.import_command import import_report
from mglubench.cli.inspect_command import inspect
from mglubench.cli.plot_command import plot
from mglubench.cli.predict_command import predict
from mglubench.cli.profile_command import profile
from mglubench.cli.report_command import report
from mglubench.cli.roofline_command import roofline
from mglubench.cli.runs_command import runs
from mglubench.cli.sweep_command import sweep
from mglubench.cli.tune_command import tune
from mglubench.cli.variants_command import variants
from mglubench.cli.verify_command import verify
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
# In the order of the help.
COMMANDS: dict[str, Callable[..., Any]] = {
    "sweep": sweep,
    "report": report,
    "plot": plot,
    "roofline": roofline,
    "predict": predict,
    "runs": runs,
    "profile": profile,
    "import": import_report,
    "variants": variants,
    "verify": verify,
    "doctor": doctor,
    "build": build,
    "inspect": inspect,
    "tune": tune,
    "campaign": campaign,
}
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


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
