"""``mglubench plot``: a picture of a stored run."""

from __future__ import annotations

from mglubench.cli import pictures


def plot(run: pictures.Run, out: pictures.Out = None) -> None:
    """Draw latencies: over masks, over tokens, or as bars, with the baselines and what memory alone would take."""
    from mglubench.report.plot import latency_plot

    pictures.draw(run, out, "latency", latency_plot)
