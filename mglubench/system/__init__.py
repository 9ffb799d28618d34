"""Files, lines, processes: what has nothing to do with kernels."""
