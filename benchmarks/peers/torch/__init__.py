"""The same systems in PyTorch: same networks, mathematics, optimiser and shortcuts, in PyTorch's own best form."""
