"""Where measurements are kept, and what is derived from them: the store, the tidy frame, speed-ups and shares."""
