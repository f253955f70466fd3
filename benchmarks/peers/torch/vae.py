"""jaxgen's VAE step in PyTorch."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from benchmarks.peers.torch.device import DEVICE, new_step, prepared
from benchmarks.peers.torch.optim import Average, Optimiser

Tensor = torch.Tensor
GAUSSIAN_SCALE = 0.1


class VAEStep:
    """One update. `x` [B, ...] in [0, 1] in the networks' own layout."""

    def __init__(
        self,
        encoder: torch.nn.Module,
        decoder: torch.nn.Module,
        game: Mapping[str, Any],
        variant: str,
        precision: str,
        sgd: float,
    ):
        if game["samples"] != 1:
            raise ValueError("the PyTorch peer has no importance weights")
        self.encoder, self.decoder = encoder, decoder
        self._likelihood, self._beta, self._warmup = game["likelihood"], game["beta"], game["beta_warmup"]
        networks = torch.nn.ModuleList([encoder, decoder])
        self._tx = Optimiser(networks.parameters(), game["tx"], sgd)
        self._ema = Average(networks, game["ema_decay"])
        self._binarise = game["binarise"]
        self._step = 0
        self._variant = variant
        self._loss = prepared(self._loss_of, variant, precision)
        self._weight = (self._beta, self._on_device(self._beta))

    def __call__(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor]:
        """The negative bound in nats per example before the update; `noise` [B, Z] is drawn where it is not given."""
        beta = self._beta * min(1.0, self._step / self._warmup) if self._warmup else self._beta
        if beta != self._weight[0]:  # a tensor: torch.compile would compile each number anew
            self._weight = (beta, self._on_device(beta))
        new_step(self._variant)
        loss = self._loss(x, noise, self._weight[1])
        self._tx.update(loss)
        self._ema.update()
        self._step += 1
        return (loss.detach(),)

    @staticmethod
    def _on_device(number: float) -> Tensor:
        return torch.full((), number, device=DEVICE)

    def _loss_of(self, x: Tensor, noise: Tensor | None, beta: Tensor) -> Tensor:
        if self._binarise:
            x = torch.bernoulli(x)
        mu, logvar = self.encoder(x).float().chunk(2, dim=-1)
        noise = torch.randn_like(mu) if noise is None else noise
        out = self.decoder(mu + noise * torch.exp(0.5 * logvar)).float()
        kl = 0.5 * (logvar.exp() + mu.square() - 1 - logvar).sum()
        if self._likelihood == "bernoulli":
            nll = binary_cross_entropy_with_logits(out, x, reduction="sum")
        else:
            squares = mse_loss(out, x, reduction="sum") / (2 * GAUSSIAN_SCALE**2)
            nll = squares + x.numel() * (math.log(GAUSSIAN_SCALE) + 0.5 * math.log(2 * math.pi))
        return (nll + beta * kl) / len(x)
