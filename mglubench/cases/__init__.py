"""What can be measured: the axes, the cases that come of them, sweep files."""
