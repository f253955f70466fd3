"""jaxgen's steps from image to image in PyTorch, with its shortcuts: one pass of each generator's work for all updates,
no gradients of the critics' weights in the generators' update, lazy penalties.

Two players of a kind are updated together, as CycleGAN's authors do it: one backward pass of the summed losses and one
fused Adam.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.peers.torch.augment import augmentation
from benchmarks.peers.torch.degrade import Degrade
from benchmarks.peers.torch.device import DEVICE, new_step, prepared
from benchmarks.peers.torch.gan import LOSSES
from benchmarks.peers.torch.optim import Average, Optimiser, penalty_weight
from benchmarks.peers.torch.pool import Places
from benchmarks.peers.torch.spade import noise_map

Tensor = torch.Tensor
Tensors = Sequence[Tensor]


class Critics:
    """One critic for each way, and their updates. Reals and fakes [B, C, H, W] of every way in a sequence; `given` is
    what a critic of pairs sees beside them."""

    def __init__(self, discs: Sequence[nn.Module], game: Mapping[str, Any], variant: str, precision: str, sgd: float):
        self._discs = discs
        self._params = [p for disc in discs for p in disc.parameters()]
        self._tx = _optimiser(discs, game["disc"], sgd)
        self._loss, self._relativistic = LOSSES[game["loss"]], game["loss"] == "relativistic"
        self._at = set(game["penalty"].split("+")) - {""}
        if self._at - {"r1", "r2"}:
            raise ValueError(f"the PyTorch peer has r1 and r2, not {game['penalty']!r}")
        self._every = game["penalty_every"]
        self._weight = partial(penalty_weight, game)
        self._step = 0
        self._losses = prepared(self._losses_of, variant, precision)
        # Not compiled: torch.compile refuses the second derivatives.
        self._penalised = prepared(self._penalised_of, "eager", precision)

    def update(self, real: Tensors, fake: Tensors, *given: Tensor) -> Tensors:
        """One update of each; their losses before it."""
        self._learn(True)
        fake = [one.detach() for one in fake]
        if self._at and self._step % self._every == 0:
            losses, penalty = self._penalised(real, fake, *given)
            self._tx.update(sum(losses) + self._weight(self._step) * penalty)
        else:
            losses = self._losses(real, fake, *given)
            self._tx.update(sum(losses))
        self._learn(False)
        self._step += 1
        return [loss.detach() for loss in losses]

    def fooled(self, real: Tensors, fake: Tensors, *given: Tensor) -> Tensors:
        """The generators' side of the losses."""
        out = []
        for disc, x, y in zip(self._discs, real, fake, strict=True):
            fake_logits = disc(y, *given).flatten()
            real_logits = fake_logits  # any numbers: only a relativistic generator looks at real examples
            if self._relativistic:
                with torch.no_grad():
                    real_logits = disc(x, *given).flatten()
            out.append(self._loss(real_logits, fake_logits)[1].mean())
        return out

    def _learn(self, yes: bool) -> None:
        for p in self._params:
            p.requires_grad_(yes)

    @staticmethod
    def _logits(disc: nn.Module, x: Tensor, y: Tensor, *given: Tensor) -> tuple[Tensor, Tensor]:
        """Of real and fake [B, h w], in one pass."""
        real, fake = disc(torch.cat([x, y]), *(torch.cat([one, one]) for one in given)).chunk(2)
        return real, fake

    def _loss_of(self, real: Tensor, fake: Tensor) -> Tensor:
        return self._loss(real.flatten(), fake.flatten())[0].mean()

    def _losses_of(self, real: Tensors, fake: Tensors, *given: Tensor) -> Tensors:
        ways = zip(self._discs, real, fake, strict=True)
        return [self._loss_of(*self._logits(disc, x, y, *given)) for disc, x, y in ways]

    def _penalised_of(self, real: Tensors, fake: Tensors, *given: Tensor) -> tuple[Tensors, Tensor]:
        """As `_losses_of`, and half the squared gradient norm of the logits' sum at real (r1) and fake (r2) examples,
        summed over the ways."""
        losses, sums, points = [], [], []
        for disc, x, y in zip(self._discs, real, fake, strict=True):
            x = x.detach().requires_grad_("r1" in self._at)
            y = y.detach().requires_grad_("r2" in self._at)
            of_real, of_fake = self._logits(disc, x, y, *given)
            losses.append(self._loss_of(of_real, of_fake))
            sums.append((of_real + of_fake).sum())
            points += [at for at in (x, y) if at.requires_grad]
        grads = torch.autograd.grad(sum(sums), points, create_graph=True)
        return losses, sum(0.5 * grad.square().sum() / len(grad) for grad in grads)


class PairedStep:
    """One update of each player. y [B, C, H, W] and its partner x, made from y where the game says how and x is not
    given; with `z_dim` the generator gets a map of noise too, drawn here where it is not given."""

    def __init__(
        self,
        gen: nn.Module,
        disc: nn.Module,
        game: Mapping[str, Any],
        spoil: Degrade | None,
        z_dim: int,
        variant: str,
        precision: str,
        sgd: float,
    ):
        self._z_dim = z_dim
        self._critics = Critics([disc], game, variant, precision, sgd)
        self._tx, self._ema = _optimiser([gen], game["gen"], sgd), Average(gen, game["ema_decay"])
        self._spoil: Any = spoil
        self._variant = variant
        self._l1, self._adversarial = game["l1"], game["adversarial"]
        self._augment = augmentation(game["augment"]) if game["augment"] else None
        self._p = torch.full((), game["augment_p"], device=DEVICE)
        self._pairs = prepared(self._pairs_of, variant)
        self._generate, self._loss = (prepared(f, variant, precision) for f in (gen, self._loss_of))

    def __call__(self, y: Tensor, x: Tensor | None = None, z: Tensor | None = None) -> Tensors:
        """The critic's and the generator's adversarial losses and the mean absolute difference before the updates."""
        new_step(self._variant)
        x, y, given = self._pairs(y, x)
        noise = [noise_map(x, self._z_dim) if z is None else z] if self._z_dim else []
        fake = self._generate(x, *noise)
        critic = self._critics.update([y], [fake], given)
        total, *found = self._loss(y, fake, given)
        self._tx.update(total)
        self._ema.update()
        return [*critic, *(one.detach() for one in found)]

    def _pairs_of(self, y: Tensor, x: Any) -> tuple[Tensor, Tensor, Tensor]:
        """(x, y, x at the size of y), x and y augmented alike."""
        if x is None:
            x = self._spoil(y)
        if self._augment:
            x, y = self._augment(torch.cat([x, y], 1), self._p).split([x.shape[1], y.shape[1]], 1)
        return x, y, x if x.shape[2:] == y.shape[2:] else F.interpolate(x, y.shape[2:], mode="nearest")

    def _loss_of(self, y: Tensor, fake: Tensor, given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        away = F.l1_loss(fake, y)
        fooled = self._critics.fooled([y], [fake], given)[0] if self._adversarial else torch.zeros_like(away)
        return self._l1 * away + self._adversarial * fooled, fooled, away


class UnpairedStep:
    """One update of each player. y and x [B, C, H, W] are of two kinds; the first generator and critic are of the way
    from x to what y is of, the second of the way back."""

    def __init__(
        self,
        gens: Sequence[nn.Module],
        discs: Sequence[nn.Module],
        game: Mapping[str, Any],
        channels_last: bool,
        variant: str,
        precision: str,
        sgd: float,
    ):
        self._critics, self._gens, self._variant = Critics(discs, game, variant, precision, sgd), gens, variant
        self._tx, self._ema = _optimiser(gens, game["gen"], sgd), Average(nn.ModuleList(gens), game["ema_decay"])
        self._cycle, self._identity, self._adversarial = game["cycle"], game["identity"], game["adversarial"]
        self._pools = [Pool(game["pool"], channels_last) for _ in gens] if game["pool"] else []
        self._make, self._loss = (prepared(f, variant, precision) for f in (self._made_of, self._loss_of))

    def __call__(self, y: Tensor, x: Tensor) -> Tensors:
        """Each way's losses of the critic and the generator, the cycle's and the identity's, before the updates."""
        new_step(self._variant)
        made = self._make(y, x)
        seen = made[:2]
        if self._pools:
            seen = [pool(fake.detach()) for pool, fake in zip(self._pools, seen, strict=True)]
        critics = self._critics.update([y, x], seen)
        total, there, back, *found = self._loss(y, x, *made)
        self._tx.update(total)
        self._ema.update()
        return [one.detach() for one in (critics[0], there, critics[1], back, *found)]

    def _made_of(self, y: Tensor, x: Tensor) -> Tensors:
        """y and x from the other, what comes back of x and y, and with `identity` y and x from themselves.

        No layer mixes examples, so a generator makes its own kind and the other in one pass.
        """
        there, back = self._gens
        if not self._identity:
            fake_y, fake_x = there(x), back(y)
            return fake_y, fake_x, back(fake_y), there(fake_x)
        fake_y, same_y = there(torch.cat([x, y])).chunk(2)
        fake_x, same_x = back(torch.cat([y, x])).chunk(2)
        return fake_y, fake_x, back(fake_y), there(fake_x), same_y, same_x

    def _loss_of(self, y: Tensor, x: Tensor, *made: Tensor) -> tuple[Tensor, ...]:
        """(total, its adversarial parts there and back, cycle, and identity where it counts)."""
        fake_y, fake_x, x_again, y_again, *same = made
        cycle = F.l1_loss(x_again, x) + F.l1_loss(y_again, y)
        there = back = torch.zeros_like(cycle)
        if self._adversarial:
            there, back = self._critics.fooled([y, x], [fake_y, fake_x])
        total = self._adversarial * (there + back) + self._cycle * cycle
        if not same:
            return total, there, back, cycle
        identity = F.l1_loss(same[0], y) + F.l1_loss(same[1], x)
        return total + self._identity * identity, there, back, cycle, identity


class Pool:
    """Fakes of earlier steps: each new one, or at even odds an earlier one, whose place it takes."""

    def __init__(self, size: int, channels_last: bool):
        self._size, self._channels_last, self._places = size, channels_last, Places(size)
        self._images: Any = None  # the pool, and behind it the new ones

    def __call__(self, fake: Tensor) -> Tensor:
        """[B, C, H, W] -> what the critic sees in its place."""
        flat = fake.permute(0, 2, 3, 1) if self._channels_last else fake
        if self._images is None:
            self._images = flat.new_zeros(self._size + len(flat), *flat.shape[1:])
        self._images[self._size :] = flat
        seen, places, kept = _sent(self._places.draw(len(flat)))
        out = self._images[seen]
        self._images[places] = self._images[kept]
        return out.permute(0, 3, 1, 2) if self._channels_last else out


def _sent(numbers: np.ndarray) -> Tensor:
    """On the device, which is not waited for."""
    there = torch.from_numpy(numbers)
    return there.pin_memory().to(DEVICE, non_blocking=True) if DEVICE.type == "cuda" else there


def _optimiser(networks: Sequence[nn.Module], adam: Mapping[str, Any], sgd: float) -> Optimiser:
    if adam["clip"] and len(networks) > 1 and not sgd:
        raise ValueError("two players are updated together here, and a norm of both is not each one's: leave clip at 0")
    return Optimiser([p for network in networks for p in network.parameters()], adam, sgd)
