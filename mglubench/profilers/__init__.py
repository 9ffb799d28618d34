"""Nsight Compute and Nsight Systems around the same cases."""
