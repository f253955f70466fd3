"""The texts of `benchmarks.ours.sampling` in PyTorch: an LSTM cell and `torch.multinomial` a step, a fused LSTM to
score them."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.peers.torch import device, sequence_networks
from benchmarks.peers.torch.device import DEVICE, prepared
from benchmarks.peers.torch.sequence_networks import Generator
from benchmarks.protocol import Job

Tensor = torch.Tensor
WIDTH, LENGTH, CHECKED = 32, 20, 8
BLOCK = 256
"""Texts at a time, at a vocabulary of 500 on one EPYC core: 64, 256 and 1,024 take 2.9 to 3.1 s, all at once 4.9."""


class Sampling:
    """One variant: `eager`, or a compiled one (of a step of the loop, and of the scores)."""

    unit = 1

    def __init__(self, job: Job):
        self.facts = device.facts() | {"items": "texts"}
        model = {"vocabulary": job["options"]["vocabulary"], "embedding": WIDTH, "width": WIDTH, "dropout": 0.0}
        self._gen = Generator(model | {"core": "lstm"}).to(DEVICE)
        with torch.no_grad():
            for p in self._gen.parameters():
                p.copy_(torch.randn_like(p) if p.requires_grad else p)
        self._batch = job["options"]["batch"]
        self._draw, self._score = (prepared(f, job["variant"]) for f in (self._draw_of, self._score_of))

    @torch.no_grad()
    def run(self, steps: int) -> None:
        for _ in range(steps):
            for first in range(0, self._batch, BLOCK):
                self._score(self._sample(min(BLOCK, self._batch - first)))
        device.finish()

    def costs(self) -> dict[str, Any]:
        return device.costs()

    @torch.no_grad()
    def losses(self, steps: int, path: str) -> list[list[float]]:
        with np.load(path) as given:
            arrays = dict(given)
        sequence_networks.load(self._gen, arrays, "gen")
        texts = [torch.from_numpy(tokens).long().to(DEVICE) for tokens in arrays["tokens"]]
        return [self._score(tokens)[:CHECKED].tolist() for tokens in texts]

    def _sample(self, n: int) -> Tensor:
        h, c = self._gen.start(n)
        last, made = torch.zeros(n, dtype=torch.int64, device=DEVICE), []
        for _ in range(LENGTH):
            last, h, c = self._draw(last, h, c)
            made.append(last)
        return torch.stack(made, dim=1)

    def _draw_of(self, last: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, (h, c) = self._gen.next(self._gen.embed(last), (h, c))
        return torch.multinomial(torch.softmax(logits, dim=-1), 1)[:, 0], h, c

    def _score_of(self, tokens: Tensor) -> Tensor:
        """Nats a token [N]."""
        nll = F.cross_entropy(self._gen(tokens).flatten(0, 1), tokens.flatten(), reduction="none")
        return nll.view_as(tokens).mean(1)


build = Sampling
