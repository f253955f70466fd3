"""Functions on arrays: what a network is asked to make small."""
