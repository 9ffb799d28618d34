"""How cases are measured: clocks, cache eviction, stopping rules, statistics, correctness, the machine's record."""
