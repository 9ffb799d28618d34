"""One self-contained page of a run or of a comparison: a file that opens from a disk and asks no network."""
