"""Weight formats: one file each, found by name in :mod:`mglubench.layer.formats.weight_formats`."""
