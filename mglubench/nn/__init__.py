"""The layer for people who train and serve it."""
