"""What turns cases into measurements: a session (in-process, child process, fake) and the interleaving above it."""
