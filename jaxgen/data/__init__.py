"""From files on disk to NumPy arrays, and the order in which a run sees them."""
