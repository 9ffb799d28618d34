"""What people look at: tables of a run, and their rendering for terminals, markdown, CSV and JSON."""
