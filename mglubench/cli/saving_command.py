"""``mglubench saving``: what a batch leaves of the saving."""

from __future__ import annotations

from mglubench.cli import pictures


def saving(run: pictures.Run, out: pictures.Out = None) -> None:
    """Draw the speed-up over the fastest GLU against the number of tokens: where the saving ends."""
    from mglubench.report.batch_plot import saving_plot

    pictures.draw(run, out, "saving", saving_plot)
