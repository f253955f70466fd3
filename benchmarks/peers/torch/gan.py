"""jaxgen's GAN step in PyTorch, with its shortcuts: one generator pass for both updates, no gradients of the critic's
weights in the generator's update, lazy penalties, augmentation of what the critic sees."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn.functional import relu, softplus

from benchmarks.peers.torch.augment import augmentation
from benchmarks.peers.torch.device import DEVICE, new_step, prepared
from benchmarks.peers.torch.optim import Average, Optimiser

Tensor = torch.Tensor

LOSSES: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "nonsaturating": lambda real, fake: (softplus(-real) + softplus(fake), softplus(-fake)),
    "least_squares": lambda real, fake: (0.5 * ((real - 1) ** 2 + fake**2), 0.5 * (fake - 1) ** 2),
    "hinge": lambda real, fake: (relu(1 - real) + relu(1 + fake), -fake),
    "wasserstein": lambda real, fake: (fake - real, -fake),
    "relativistic": lambda real, fake: (softplus(fake - real), softplus(real - fake)),
}
"""Logits [B] of real and fake -> (critic, generator) losses [B]."""


class GANStep:
    """One update of each player. `x` [B, ...] in the networks' own layout; with `classes` `gen(z, label)` and
    `disc(x, label)`, else without the label. Logits are [B, 1]."""

    def __init__(
        self,
        gen: torch.nn.Module,
        disc: torch.nn.Module,
        game: Mapping[str, Any],
        z_dim: int,
        joint: bool,
        variant: str,
        precision: str,
        sgd: float,
    ):
        if game["critic_steps"] != 1:
            raise ValueError("the PyTorch peer has no several critic steps")
        self.disc, self._z_dim, self._joint = disc, z_dim, joint
        self._disc_params = list(disc.parameters())
        self._gen_tx = Optimiser(gen.parameters(), game["gen"], sgd)
        self._disc_tx = Optimiser(disc.parameters(), game["disc"], sgd)
        self._ema = Average(gen, game["ema_decay"])
        self._loss = LOSSES[game["loss"]]
        self._relativistic = game["loss"] == "relativistic"
        self._at = set(game["penalty"].split("+")) - {""}
        if self._at - {"r1", "r2"}:
            raise ValueError(f"the PyTorch peer has r1 and r2, not {game['penalty']!r}")
        self._every = game["penalty_every"]
        self._weight = game["penalty_weight"] * game["penalty_every"]
        self._augment = augmentation(game["augment"]) if game["augment"] else None
        self._p = torch.full((), game["augment_p"], device=DEVICE)
        self._adapts = game["augment"] and game["ada_target"] > 0
        self._ada = (game["ada_target"], game["ada_images"])
        self._step = 0
        self._variant = variant
        self._generate, self._disc_loss, self._gen_loss = (
            prepared(function, variant, precision) for function in (gen, self._disc_loss_of, self._gen_loss_of)
        )
        # Not compiled: torch.compile refuses the second derivatives.
        self._penalised = prepared(self._penalised_of, "eager", precision)

    def __call__(self, x: Tensor, z: Tensor | None = None, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(critic, generator) losses before each's update; `z` [B, Z] is drawn where it is not given."""
        new_step(self._variant)
        labels = () if label is None else (label,)
        fake = self._generate(torch.randn(len(x), self._z_dim, device=DEVICE) if z is None else z, *labels)
        self._critic_learns(True)
        if self._at and self._step % self._every == 0:
            d_loss, overfitting, penalty = self._penalised(x, fake.detach(), *labels)
            self._disc_tx.update(d_loss + self._weight * penalty)
        else:
            d_loss, overfitting = self._disc_loss(x, fake.detach(), *labels)
            self._disc_tx.update(d_loss)
        self._critic_learns(False)
        g_loss = self._gen_loss(x, fake, *labels)
        self._gen_tx.update(g_loss)
        self._ema.update()
        if overfitting is not None:
            target, images = self._ada
            self._p = (self._p + (overfitting - target) * (len(x) / images)).clamp(0, 1)
        self._step += 1
        return d_loss.detach(), g_loss.detach()

    def _critic_learns(self, yes: bool) -> None:
        for p in self._disc_params:
            p.requires_grad_(yes)

    def _seen(self, x: Tensor) -> Tensor:
        """As the critic sees images: each by its own draws."""
        return self._augment(x, self._p) if self._augment else x

    def _both_seen(self, x: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        if not self._augment:
            return x, fake
        real, fake = self._seen(torch.cat([x, fake])).chunk(2)
        return real, fake

    def _logits(self, x: Tensor, fake: Tensor, *label: Tensor) -> tuple[Tensor, Tensor]:
        """Of real and fake [B]; in one pass where the critic does not mix examples."""
        if self._joint:
            both = self._criticise(torch.cat([x, fake]), *(torch.cat([one, one]) for one in label))
            real_logit, fake_logit = both.chunk(2)
            return real_logit, fake_logit
        return self._criticise(x, *label), self._criticise(fake, *label)

    def _criticise(self, x: Tensor, *label: Tensor) -> Tensor:
        """Logits [B] in fp32."""
        return self.disc(x, *label)[:, 0].float()

    def _disc_loss_of(self, x: Tensor, fake: Tensor, *label: Tensor) -> tuple[Tensor, Tensor | None]:
        """The loss, and ADA's measure where the probability adapts."""
        real_logit, fake_logit = self._logits(*self._both_seen(x, fake), *label)
        return self._loss(real_logit, fake_logit)[0].mean(), self._overfitting(real_logit, fake_logit)

    def _overfitting(self, real_logit: Tensor, fake_logit: Tensor) -> Tensor | None:
        return (real_logit - fake_logit).detach().sign().mean() if self._adapts else None

    def _gen_loss_of(self, x: Tensor, fake: Tensor, *label: Tensor) -> Tensor:
        fake_logit = self._criticise(self._seen(fake), *label)
        real_logit = fake_logit  # any number: only a relativistic generator looks at real examples
        if self._relativistic:
            with torch.no_grad():
                real_logit = self._criticise(self._seen(x), *label)
        return self._loss(real_logit, fake_logit)[1].mean()

    def _penalised_of(self, x: Tensor, fake: Tensor, *label: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """As `_disc_loss_of`, and half the squared gradient norm of the logits at real (r1) and fake (r2) examples."""
        x, fake = self._both_seen(x, fake)
        x = x.detach().requires_grad_("r1" in self._at)
        fake = fake.detach().requires_grad_("r2" in self._at)
        real_logit, fake_logit = self._logits(x, fake, *label)
        points = [at for at in (x, fake) if at.requires_grad]
        grads = torch.autograd.grad((real_logit + fake_logit).sum(), points, create_graph=True)
        penalty = sum(0.5 * grad.square().sum() / len(grad) for grad in grads)
        loss = self._loss(real_logit, fake_logit)[0].mean()
        return loss, self._overfitting(real_logit, fake_logit), penalty
