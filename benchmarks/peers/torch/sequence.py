"""jaxgen's systems of sequences, a step at a time: VAEs of music, the phases of a text GAN."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from benchmarks.peers.torch import device, sequence_networks
from benchmarks.peers.torch.device import DEVICE, new_step, prepared
from benchmarks.peers.torch.optim import Average, Optimiser
from benchmarks.peers.torch.sequence_networks import Critic, Generator, PassageModel, SliceModel
from benchmarks.peers.torch.text import GumbelStep, LikelihoodStep, ReinforceStep
from benchmarks.protocol import Incomparable, Job

Tensor = torch.Tensor


class SequenceStep:
    """One system in one variant: `eager`, a compiled one, or of REINFORCE `loops`."""

    unit = 1

    def __init__(self, job: Job):
        config, sgd = job["config"], job["sgd"]
        if sgd:
            device.exact()
        model, game, length = config["model"], config["game"], config["shape"][0]
        if game.get("penalty"):
            raise ValueError("the PyTorch peer has texts without penalties")
        how = {"variant": job["variant"], "precision": config["precision"], "sgd": sgd}
        rng = np.random.default_rng(0)
        if game["type"] == "VariationalSequence":
            kind = SliceModel if model["type"] == "SliceVAE" else PassageModel
            network = kind(config["shape"][1], model).to(DEVICE)
            self._networks = {"model": network}
            self._step: Any = SequenceVAEStep(network, game, length, **how)
            self._x = self._placed(rng.random((config["batch"], *config["shape"])) < 4 / config["shape"][1])
            self._given: dict[str, Tensor] = {}
        else:
            given, ends = texts(config, rng), _end(config)
            what = model, game["classes"], "prompt" in given
            gen, disc = Generator(*what).to(DEVICE), Critic(*what).to(DEVICE)
            self._networks = {"gen": gen, "disc": disc}
            self._step = _phase(game, given, ends)(gen, disc, game, length, ends=ends, **how)
            self._x = self._placed(given.pop("tokens"))
            self._given = {name: self._placed(a) for name, a in given.items()}
        self.facts = device.facts()

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._step(self._x, **self._given)
        device.finish()

    def costs(self) -> dict[str, Any]:
        return device.costs()

    def losses(self, steps: int, path: str) -> list[list[float]]:
        if isinstance(self._step, ReinforceStep):
            raise Incomparable("it draws its texts, and its completions of them, with other random numbers")
        with np.load(path) as given:
            arrays = dict(given)
        for name, network in self._networks.items():
            sequence_networks.load(network, arrays, name)
        x, beside = self._placed(arrays["x"]), {name: self._placed(arrays[name]) for name in self._given}
        noise = [torch.from_numpy(each).to(DEVICE) for each in arrays.get("noise", ())] or [None] * steps
        return [[float(loss) for loss in self._step(x, each, **beside)] for each in noise]

    @staticmethod
    def _placed(x: np.ndarray) -> Tensor:
        """Tokens as int64, slices as fp32."""
        kind = np.int64 if np.issubdtype(x.dtype, np.integer) else np.float32
        return torch.from_numpy(np.ascontiguousarray(x, kind)).to(DEVICE)


def texts(config: Mapping[str, Any], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """`tokens` [B, T] and what they go with: as `benchmarks.ours.system.examples`."""
    n, size, made = config["batch"], config["model"]["vocabulary"], {}
    prompts = {"prompt": config["shape"][-1]} if config["domain"] == "replies" else {}
    for name, length in (prompts | {"tokens": config["shape"][0]}).items():
        made[name] = rng.integers(size, size=(n, length), dtype=np.int32)
        if _end(config):
            made[name] *= np.arange(length) < rng.integers(1, length + 1, size=(n, 1))
    if classes := config["game"]["classes"]:
        made["label"] = np.arange(n) % classes
    return made


def _end(config: Mapping[str, Any]) -> bool:
    """Whether token 0 ends a text."""
    return config["domain"] != "text/tokens"


def _phase(game: Mapping[str, Any], given: Mapping[str, Any], ends: bool) -> type:
    """Of a text GAN, the one that its run begins with."""
    if game["pretrain"]:
        return LikelihoodStep
    if game["critic_pretrain"]:
        raise ValueError("the PyTorch peer does not train the critic alone")
    if game["estimator"] == "gumbel":
        return GumbelStep
    if ends or len(given) > 1:
        raise ValueError("the PyTorch peer has REINFORCE of texts that go with nothing and do not end")
    return ReinforceStep


class SequenceVAEStep:
    """One update. `x` [B, T, P] of 0 and 1, all slices of which count."""

    def __init__(
        self, network: torch.nn.Module, game: Mapping[str, Any], length: int, variant: str, precision: str, sgd: float
    ):
        self._network, self._game, self._length = network, game, length
        self._tx = Optimiser([p for p in network.parameters() if p.requires_grad], game["tx"], sgd)
        self._ema = Average(network, game["ema_decay"])
        self._variant = variant
        self._loss = prepared(self._loss_of, variant, precision)
        self._step = 0

    def __call__(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor]:
        """The loss in nats a slice before the update; `noise` is drawn where it is not given."""
        game, step = self._game, self._step
        beta = game["beta"] * (min(1.0, step / game["beta_warmup"]) if game["beta_warmup"] else 1.0)
        left = max(0.0, 1 - step / game["free_until"]) if game["free_until"] else 1.0
        new_step(self._variant)
        loss = self._loss(x, noise, *(torch.full((), n, device=DEVICE) for n in (beta, game["free_nats"] * left)))
        self._tx.update(loss)
        self._ema.update()
        self._step += 1
        return (loss.detach(),)

    def _loss_of(self, x: Tensor, noise: Tensor | None, beta: Tensor, free: Tensor) -> Tensor:
        if most := self._game["transpose"]:
            by = torch.randint(-most, most + 1, (len(x), 1, 1), device=DEVICE)
            places = (torch.arange(x.shape[2], device=DEVICE) - by) % x.shape[2]
            x = x.gather(2, places.expand(-1, x.shape[1], -1))
        inside = x.new_ones(x.shape[:2])
        likelihood, kl = self._network(x, inside, self._network.noise(x) if noise is None else noise)
        latents = 1.0 if kl.shape[1] == 1 else self._length
        kl = kl.sum(1).mean() / self._length
        paid = torch.maximum(kl, free * latents / self._length)
        return beta * paid - likelihood.sum(1).mean() / self._length


build = SequenceStep
