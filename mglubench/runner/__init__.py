"""What runs sweeps: plan, run, verify."""
