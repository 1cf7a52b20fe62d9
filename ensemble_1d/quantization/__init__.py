"""Numbers in few bits: arrays, and whole programs."""
