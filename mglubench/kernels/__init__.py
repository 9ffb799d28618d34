"""Everything that builds, chooses, loads and launches a kernel: tensors in, launch out."""
