"""Everything that is measured on one GPU, in order, in resumable slices."""
