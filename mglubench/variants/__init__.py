"""Every way to compute the layers, one file per backend; see :mod:`mglubench.variants.base` for the contract."""
