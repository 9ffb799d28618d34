"""The layers themselves: inputs and float64 references, mask layouts, declared bytes, tolerances."""
