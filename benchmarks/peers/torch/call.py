"""Against a call of several steps: as many single steps, since PyTorch has nothing that takes several at once."""

from benchmarks.peers.torch.step import build

__all__ = ["build"]
