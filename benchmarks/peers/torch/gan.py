"""jaxgen's GAN step in PyTorch, with its shortcuts: one generator pass for both updates, no gradients of the critic's
weights in the generator's update, lazy penalties, augmentation of what the critic sees."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch.nn.functional import relu, softplus

from benchmarks.peers.torch.augment import augmentation
from benchmarks.peers.torch.device import DEVICE, new_step, prepared
from benchmarks.peers.torch.optim import Average, Optimiser, penalty_weight

Tensor = torch.Tensor
Logits = tuple[Tensor, ...]
"""Of each critic, [B, n]."""

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
    `disc(x, label)`, else without the label. Logits are [B, n], or of a critic that is several a tuple of them, each of
    which counts the same."""

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
        self._weight = partial(penalty_weight, game)
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
            self._disc_tx.update(d_loss + self._weight(self._step) * penalty)
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

    def _logits(self, x: Tensor, fake: Tensor, *label: Tensor) -> tuple[Logits, Logits]:
        """Of real and fake; in one pass where the critic does not mix examples."""
        if self._joint:
            both = self._criticise(torch.cat([x, fake]), *(torch.cat([one, one]) for one in label))
            real_logits, fake_logits = zip(*(each.chunk(2) for each in both), strict=True)
            return real_logits, fake_logits
        return self._criticise(x, *label), self._criticise(fake, *label)

    def _criticise(self, x: Tensor, *label: Tensor) -> Logits:
        """Logits in fp32, of each critic."""
        logits = self.disc(x, *label)
        return tuple(each.float() for each in (logits if isinstance(logits, tuple) else (logits,)))

    def _side(self, side: int, real: Logits, fake: Logits) -> Tensor:
        """The critic's loss (0) or the generator's (1): the mean over critics of the mean of each."""
        losses = [self._loss(a, b)[side].mean() for a, b in zip(real, fake, strict=True)]
        return losses[0] if len(losses) == 1 else sum(losses) / len(losses)

    def _disc_loss_of(self, x: Tensor, fake: Tensor, *label: Tensor) -> tuple[Tensor, Tensor | None]:
        """The loss, and ADA's measure where the probability adapts."""
        real, made = self._logits(*self._both_seen(x, fake), *label)
        return self._side(0, real, made), self._overfitting(real, made)

    def _overfitting(self, real: Logits, fake: Logits) -> Tensor | None:
        if not self._adapts:
            return None
        return torch.stack([(a - b).detach().sign().mean() for a, b in zip(real, fake, strict=True)]).mean()

    def _gen_loss_of(self, x: Tensor, fake: Tensor, *label: Tensor) -> Tensor:
        made = self._criticise(self._seen(fake), *label)
        real = made  # any numbers: only a relativistic generator looks at real examples
        if self._relativistic:
            with torch.no_grad():
                real = self._criticise(self._seen(x), *label)
        return self._side(1, real, made)

    def _penalised_of(self, x: Tensor, fake: Tensor, *label: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """As `_disc_loss_of`, and half the squared gradient norm of the logits at real (r1) and fake (r2) examples."""
        x, fake = self._both_seen(x, fake)
        x = x.detach().requires_grad_("r1" in self._at)
        fake = fake.detach().requires_grad_("r2" in self._at)
        real, made = self._logits(x, fake, *label)
        points = [at for at in (x, fake) if at.requires_grad]
        total = sum((a + b).sum() for a, b in zip(real, made, strict=True))
        grads = torch.autograd.grad(total, points, create_graph=True)
        penalty = sum(0.5 * grad.square().sum() / len(grad) for grad in grads)
        return self._side(0, real, made), self._overfitting(real, made), penalty
