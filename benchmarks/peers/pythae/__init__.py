"""The same VAE in pythae, a library of autoencoders in PyTorch with a trainer of its own."""
