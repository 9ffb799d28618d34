"""What is measured: cases, sweeps, the problem and its reference, declared bytes, mask layouts."""
