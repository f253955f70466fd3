"""The phases of jaxgen's text GAN in PyTorch: maximum likelihood; a critic through Gumbel-softmax or by REINFORCE."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks.peers.torch.device import new_step, prepared
from benchmarks.peers.torch.gan import LOSSES
from benchmarks.peers.torch.optim import Average, Optimiser
from benchmarks.peers.torch.sequence_networks import Critic, Generator, Given

Tensor = torch.Tensor
Memory = tuple[Tensor, Tensor]


class Phase(ABC):
    """What the phases share. `tokens` [B, T], and by name what they go with; where texts `end`, only zeros follow their
    first. A call gives the losses of ours that a check compares: (critic, generator, nll), 0 where a player does not
    play."""

    def __init__(
        self,
        gen: Generator,
        disc: Critic,
        game: Mapping[str, Any],
        length: int,
        variant: str,
        precision: str,
        sgd: float,
        ends: bool = False,
    ):
        self._ends = ends
        self.gen, self.disc, self._game, self._length, self._variant = gen, disc, game, length, variant
        learning = [p for p in gen.parameters() if p.requires_grad]
        self._likelihood_tx = Optimiser(learning, game["likelihood"], sgd)
        self._gen_tx = Optimiser(learning, game["gen"], sgd)
        self._disc_tx = Optimiser(disc.parameters(), game["disc"], sgd)
        self._ema = Average(gen, game["ema_decay"])
        self._loss = LOSSES[game["loss"]]
        self._step = 0
        self._prepare(lambda function: prepared(function, "eager" if variant == "loops" else variant, precision))

    def __call__(self, tokens: Tensor, noise: Tensor | None = None, **given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        new_step(self._variant)
        losses = self._update(tokens, noise, given)
        self._ema.update()
        self._step += 1
        return losses

    def _prepare(self, compiled: Any) -> None:
        self._nll, self._told = compiled(self._nll_of), compiled(self.gen.told)
        self._disc_loss = compiled(self._disc_loss_of)

    @abstractmethod
    def _update(self, tokens: Tensor, noise: Tensor | None, given: Given) -> tuple[Tensor, Tensor, Tensor]:
        """One update of whoever plays."""

    def _nll_of(self, tokens: Tensor, told: Tensor | None) -> Tensor:
        """Nats a token, the end among them."""
        wanted = tokens
        if self._ends:
            after = (F.pad(tokens, (1, 0), value=1)[:, :-1] == 0).cumsum(1) > 0
            wanted = tokens.masked_fill(after, -100)  # `cross_entropy` leaves these out
        return F.cross_entropy(self.gen(tokens, told).flatten(0, 1), wanted.flatten())

    def _critic_learns(self, real: Tensor, fake: Tensor, given: Given) -> Tensor:
        for p in self.disc.parameters():
            p.requires_grad_(True)
        loss = self._disc_loss(real, fake, given)
        self._disc_tx.update(loss)
        for p in self.disc.parameters():
            p.requires_grad_(False)
        return loss.detach()

    def _disc_loss_of(self, real: Tensor, fake: Tensor, given: Given) -> Tensor:
        both = self.disc.judge(torch.cat([self.disc.embedded(real), self.disc.embedded(fake)]), given)
        return self._loss(*both.chunk(2))[0].mean()


class LikelihoodStep(Phase):
    """The first phase."""

    def _update(self, tokens: Tensor, noise: Tensor | None, given: Given) -> tuple[Tensor, Tensor, Tensor]:
        nll = self._nll(tokens, self._told(given))
        self._likelihood_tx.update(nll)
        nothing = nll.new_zeros(())
        return nothing, nothing, nll.detach()


class GumbelStep(Phase):
    """The third phase, straight through (Jang et al. 2017)."""

    def _prepare(self, compiled: Any) -> None:
        super()._prepare(compiled)
        self._relax, self._opinion = compiled(self._relax_of), compiled(self._opinion_of)

    def _update(self, tokens: Tensor, noise: Tensor | None, given: Given) -> tuple[Tensor, Tensor, Tensor]:
        game = self._game
        done = min(1.0, self._step / game["anneal"])
        heat = torch.full((), game["final_temperature"] ** done, device=tokens.device)
        if noise is None:
            shape = (len(tokens), self._length, self.gen.out.out_features)
            noise = -torch.empty(shape, device=tokens.device).exponential_().log()
        told = self._told(given)  # once, for the texts that are made and for those that are likely
        soft = self._relax(noise, heat, told)
        disc = self._critic_learns(tokens, soft.detach(), given)
        loss = self._opinion(tokens, soft, given)
        nll = self._nll(tokens, told) if game["mle"] else loss.new_zeros(())
        self._gen_tx.update(loss + game["mle"] * nll)
        return disc, loss.detach(), nll.detach()

    def _relax_of(self, noise: Tensor, heat: Tensor, told: Tensor | None) -> Tensor:
        """Texts [B, T, V] whose values are one-hot."""
        memory, out = self.gen.start(len(noise)), []
        shown = self.gen.embed.weight[:1].expand(len(noise), -1)
        alive = noise.new_ones(len(noise), 1, dtype=torch.bool)
        end = F.one_hot(noise.new_zeros(1, dtype=torch.int64), noise.shape[-1]).to(noise.dtype)
        for gumbel in noise.unbind(1):
            logits, memory = self.gen.next(shown, memory, told)
            soft = torch.softmax((logits + gumbel) / heat, dim=-1)
            token = (logits + gumbel).argmax(-1)
            hard = F.one_hot(token, soft.shape[-1]).to(soft.dtype)
            text = hard + soft - soft.detach()
            if self._ends:
                text = torch.where(alive, text, end)
                alive = alive & (token[:, None] != 0)
            out.append(text)
            shown = out[-1] @ self.gen.embed.weight
        return torch.stack(out, dim=1)

    def _opinion_of(self, real: Tensor, soft: Tensor, given: Given) -> Tensor:
        with torch.no_grad():
            of_real = self.disc(real, given)
        return self._loss(of_real, self.disc(soft, given))[1].mean()


class ReinforceStep(Phase):
    """The third phase by policy gradient (Yu et al. 2017). Completions go on from the memory after each prefix: all of
    one prefix as rows of one batch, or with `loops` a batch of texts after the other, as in public implementations.
    `given` is empty: texts go with nothing here, and do not end."""

    def _prepare(self, compiled: Any) -> None:
        super()._prepare(compiled)
        self._draw, self._policy, self._judge = (
            compiled(function) for function in (self._draw_of, self._policy_of, self.disc)
        )

    def _update(self, tokens: Tensor, noise: Tensor | None, given: Given) -> tuple[Tensor, Tensor, Tensor]:
        made, memories = self._generate(len(tokens))
        disc = self._critic_learns(tokens, made, given)
        advantage, loss = self._advantage(tokens, made, memories, given)
        policy = self._policy(made, advantage)
        nll = self._nll(tokens, None) if self._game["mle"] else policy.new_zeros(())
        self._gen_tx.update(policy + self._game["mle"] * nll)
        return disc, loss, nll.detach()

    def _draw_of(self, last: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, (h, c) = self.gen.next(self.gen.embed(last), (h, c))
        return torch.multinomial(torch.softmax(logits, dim=-1), 1)[:, 0], h, c

    @torch.no_grad()
    def _generate(self, n: int) -> tuple[Tensor, list[Memory]]:
        """Texts [n, T], and the memory before each token."""
        (h, c), memories, made = self.gen.start(n), [], []
        last = torch.zeros(n, dtype=torch.int64, device=h.device)
        for _ in range(self._length):
            memories.append((h, c))
            last, h, c = self._draw(last, h, c)
            made.append(last)
        return torch.stack(made, dim=1), memories

    @torch.no_grad()
    def _advantage(self, real: Tensor, made: Tensor, memories: list[Memory], given: Given) -> tuple[Tensor, Tensor]:
        """(what each token [B, T] is worth beyond the average at its place, the generator's loss)."""
        n = self._game["rollouts"]
        of_real = self.disc(real, given)
        times = 1 if self._variant == "loops" else n
        worth = []
        for t in range(1, self._length):
            total = 0.0
            for _ in range(n // times):
                whole = self._completed(made[:, :t], memories[t], times)
                judged = self._judge(whole, given).view(times, -1)
                total = total - self._loss(of_real.expand_as(judged), judged)[1].sum(0)
            worth.append(total / n)
        worth.append(-self._loss(of_real, self.disc(made, given))[1])
        each = torch.stack(worth, dim=1)
        return each - each.mean(0, keepdim=True), -worth[-1].mean()

    def _completed(self, prefix: Tensor, memory: Memory, times: int) -> Tensor:
        """[times B, T]: the prefix [B, t] with what the generator makes of it."""
        h, c = (a.repeat(times, 1) for a in memory)
        whole = [prefix.repeat(times, 1)]
        last = whole[0][:, -1]
        for _ in range(self._length - prefix.shape[1]):
            last, h, c = self._draw(last, h, c)
            whole.append(last[:, None])
        return torch.cat(whole, dim=1)

    def _policy_of(self, tokens: Tensor, advantage: Tensor) -> Tensor:
        nll = F.cross_entropy(self.gen(tokens).flatten(0, 1), tokens.flatten(), reduction="none")
        return (advantage * nll.view_as(advantage)).sum(1).mean()
