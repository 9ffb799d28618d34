"""Many devices, one sweep: who measures what, what becomes of whoever dies, over local processes and over Ray."""
