"""Many devices, one sweep: who measures what, what becomes of whoever dies, over local processes and over Ray."""

# What a fleet goes over.
PROCESSES, RAY = "processes", "ray"
