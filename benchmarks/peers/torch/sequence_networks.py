"""jaxgen's networks of sequences in PyTorch, each with the fused `nn.LSTM` wherever all inputs are known, and their
weights from Flax's."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

Arrays = Mapping[str, np.ndarray]
Tensor = torch.Tensor
Given = Mapping[str, Tensor]
"""What texts go with: `label` [B], `prompt` [B, P] tokens; whatever the networks were built for."""
NARROW = 2.0
CLOCK = 16
MOST = 8


def lstm(features: int, width: int, bidirectional: bool = False) -> nn.LSTM:
    """One bias learns, as in ours; PyTorch's second one stays 0."""
    layer = nn.LSTM(features, width, batch_first=True, bidirectional=bidirectional)
    for name, p in layer.named_parameters():
        if name.startswith("bias_hh"):
            nn.init.zeros_(p).requires_grad_(False)
    return layer


class Transition(nn.Module):
    """context [..., width] -> what `step` takes of it; step(z [B, Z], that) -> (mu, logvar) [B, Z]."""

    def __init__(self, z_dim: int, hidden: int, width: int):
        super().__init__()
        self.of_context, self.of_latent = nn.Linear(width, hidden), nn.Linear(z_dim, hidden, bias=False)
        self.out = nn.Linear(hidden, 2 * z_dim, bias=False)

    def step(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.out(torch.tanh(context + self.of_latent(z))).chunk(2, dim=-1)
        return mu, logvar


class SliceModel(nn.Module):
    """x [B, T, P], noise [B, T, Z] -> (log likelihood, KL) [B, T]."""

    def __init__(self, pitches: int, model: Mapping[str, Any]):
        super().__init__()
        width, hidden, z_dim = model["width"], model["hidden"], model["z_dim"]
        self.z_dim = z_dim
        self.forward_lstm, self.backward_lstm = lstm(pitches, width), lstm(width + pitches, width)
        self.prior, self.posterior = (Transition(z_dim, hidden, width) for _ in range(2))
        self.dropout = nn.Dropout(model["dropout"])
        self.hidden_layer = nn.Linear(z_dim + width, 2 * hidden)
        self.logits = nn.Linear(2 * hidden, pitches)
        self.direct, self.sustain = nn.Linear(z_dim, pitches, bias=False), nn.Linear(pitches, pitches, bias=False)

    def noise(self, x: Tensor) -> Tensor:
        return torch.randn(*x.shape[:2], self.z_dim, device=x.device)

    def forward(self, x: Tensor, inside: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        before = F.pad(x, (0, 0, 1, 0))[:, :-1]
        d = self.dropout(self.forward_lstm(self.dropout(before))[0])
        a = torch.cat([d, x], dim=-1) * inside[..., None]
        a = self.dropout(self.backward_lstm(a.flip(1))[0].flip(1))
        z, kl = self._infer(self.prior.of_context(d), self.posterior.of_context(a), noise)
        h = self.dropout(torch.relu(self.hidden_layer(torch.cat([z, d], dim=-1))))
        logits = self.logits(h) + self.direct(z) + self.sustain(before)
        return (x * logits - F.softplus(logits)).sum(-1) * inside, kl * inside

    def _infer(self, of_prior: Tensor, of_posterior: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        z = torch.zeros_like(noise[:, 0])
        latents, ratios, shifts, variances = [], [], [], []
        for p, q, e in zip(of_prior.unbind(1), of_posterior.unbind(1), noise.unbind(1), strict=True):
            mu, logvar = self.prior.step(z, p)
            shift, log_ratio = self.posterior.step(z, q)
            log_ratio = log_ratio - NARROW
            z = mu + shift + torch.exp(0.5 * (logvar + log_ratio)) * e
            for each, found in ((latents, z), (ratios, log_ratio), (shifts, shift), (variances, logvar)):
                each.append(found)
        z, log_ratio, shift, logvar = (torch.stack(each, dim=1) for each in (latents, ratios, shifts, variances))
        kl = 0.5 * (log_ratio.exp() + shift.square() * torch.exp(-logvar) - 1 - log_ratio).sum(-1)
        return z, kl


class PassageModel(nn.Module):
    """x [B, T, P], noise [B, Z] -> log likelihood [B, T], KL [B, 1]. Without a conductor."""

    def __init__(self, pitches: int, model: Mapping[str, Any]):
        super().__init__()
        if model["conductor"]:
            raise ValueError("the PyTorch peer has no conductor")
        self.z_dim, self.blind = model["z_dim"], model["blind"]
        self.ways = lstm(pitches, model["encoder"], bidirectional=True)
        self.posterior = nn.Linear(2 * model["encoder"], 2 * self.z_dim)
        self.first = nn.Linear(self.z_dim, 2 * model["decoder"])
        self.core = lstm(pitches + CLOCK + self.z_dim, model["decoder"])
        self.dropout = nn.Dropout(model["dropout"])
        self.condition = nn.Linear(model["decoder"], pitches)
        self.sustain = nn.Linear(pitches, pitches, bias=False)
        self.links = nn.Parameter(torch.zeros(pitches, pitches))
        self.counted = nn.Parameter(torch.zeros(pitches, MOST + 1))

    def noise(self, x: Tensor) -> Tensor:
        return torch.randn(len(x), self.z_dim, device=x.device)

    def forward(self, x: Tensor, inside: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        _, (ends, _) = self.ways(x)
        mu, logvar = self.posterior(torch.cat([ends[0], ends[1]], dim=-1)).chunk(2, dim=-1)
        z = mu + torch.exp(0.5 * logvar) * noise
        shown = F.pad(x, (0, 0, 1, 0))[:, :-1]
        if self.blind:
            shown = shown * (torch.rand(*x.shape[:2], 1, device=x.device) >= self.blind)
        n, length, _ = x.shape
        place = F.one_hot(torch.arange(length, device=x.device) % CLOCK, CLOCK).to(x.dtype).expand(n, -1, -1)
        first = tuple(a[None].contiguous() for a in torch.tanh(self.first(z)).chunk(2, dim=-1))
        h, _ = self.core(torch.cat([shown, place, z[:, None].expand(-1, length, -1)], dim=-1), first)
        logits = self.condition(self.dropout(h)) + self.sustain(shown) + x @ self.links.tril(-1) + self._counted(x)
        kl = 0.5 * (logvar.exp() + mu.square() - 1 - logvar).sum(-1, keepdim=True)
        return (x * logits - F.softplus(logits)).sum(-1) * inside, kl

    def _counted(self, x: Tensor) -> Tensor:
        """What the number of entries behind each adds to its logit. Looked up, a gradient that adds up by rows."""
        on = (x.flip(-1).cumsum(-1).flip(-1) - x).clamp(max=MOST).long()
        rows = on + (MOST + 1) * torch.arange(x.shape[-1], device=x.device)
        return F.embedding(rows, self.counted.view(-1, 1))[..., 0]


class Generator(nn.Module):
    """Tokens [B, T] -> logits [B, T, V] of each after those before; `next` is one step, by a cell of the same
    weights. Both may be `told` something, the same in every step."""

    def __init__(self, model: Mapping[str, Any], classes: int = 0, prompted: bool = False):
        super().__init__()
        if model["core"] != "lstm":
            raise ValueError("the PyTorch peer has no relational memory")
        size, width = model["embedding"], model["width"]
        self.embed = nn.Embedding(model["vocabulary"], size)
        self.label = nn.Embedding(classes, size) if classes else None
        self.reader = lstm(size, width) if prompted else None
        features = size * (1 + bool(classes) + prompted) + width * prompted
        self.lstm, self.cell = lstm(features, width), nn.LSTMCell(features, width)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            setattr(self.cell, name, getattr(self.lstm, f"{name}_l0"))
        self.dropout = nn.Dropout(model["dropout"])
        self.out = nn.Linear(width, model["vocabulary"])

    def told(self, given: Given) -> Tensor | None:
        """[B, ...]: the label's embedding; the prompt, read from its end, and the sum of its words by the root of their
        number."""
        parts = []
        if self.label is not None:
            parts.append(self.label(given["label"]))
        if self.reader is not None:
            words, here = self.embed(given["prompt"]), (given["prompt"] > 0)[..., None]
            _, (h, _) = self.reader(words.flip(1))
            parts += [h[0], (words * here).sum(1) / here.sum(1).clamp(min=1).sqrt()]
        return torch.cat(parts, dim=-1) if parts else None

    def forward(self, tokens: Tensor, told: Tensor | None = None) -> Tensor:
        shown = self.embed(F.pad(tokens, (1, 0))[:, :-1])
        if told is not None:
            shown = torch.cat([shown, told[:, None].expand(-1, shown.shape[1], -1)], dim=-1)
        return self.out(self.dropout(self.lstm(self.dropout(shown))[0]))

    def start(self, n: int) -> tuple[Tensor, Tensor]:
        zeros = self.out.weight.new_zeros(n, self.cell.hidden_size)
        return zeros, zeros

    def next(
        self, shown: Tensor, memory: tuple[Tensor, Tensor], told: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Embedded tokens [N, E] -> (logits [N, V], memory)."""
        shown = shown if told is None else torch.cat([shown, told], dim=-1)
        memory = self.cell(shown, memory)
        return self.out(memory[0]), memory


class Critic(nn.Module):
    """Texts [B, T], or soft ones [B, T, V], and what they go with -> logits [B]."""

    def __init__(self, model: Mapping[str, Any], classes: int = 0, prompted: bool = False):
        super().__init__()
        channels, size = model["critic"], model["critic_embedding"]
        self.embed = nn.Embedding(model["vocabulary"], size)
        self.convs, self.prompt_convs = (
            nn.ModuleList(nn.Conv1d(size, c, span) for span, c in enumerate(channels, start=2)) if wanted else None
            for wanted in (True, prompted)
        )
        self.both = nn.Linear(3 * sum(channels), sum(channels)) if prompted else None
        self.dropout = nn.Dropout(model["critic_dropout"])
        self.out = nn.Linear(sum(channels), 1)
        self.label = nn.Embedding(classes, sum(channels)) if classes else None

    def embedded(self, text: Tensor) -> Tensor:
        """[B, T, E]."""
        return text @ self.embed.weight if text.is_floating_point() else self.embed(text)

    def forward(self, text: Tensor, given: Given) -> Tensor:
        return self.judge(self.embedded(text), given)

    def judge(self, embedded: Tensor, given: Given) -> Tensor:
        """Of as many texts as what they go with, or of a multiple, one after the other."""
        h = _features(self.convs, embedded)
        if self.both is not None:
            p = _features(self.prompt_convs, self.embed(given["prompt"]))
            p = p.repeat(len(h) // len(p), 1)  # seen once, whatever it is judged with
            h = F.leaky_relu(self.both(torch.cat([h, p, h * p], dim=-1)), 0.2)
        h = self.dropout(h)
        logit = self.out(h)[:, 0]
        if self.label is not None:
            of_label = self.label(given["label"])
            logit = logit + (of_label.repeat(len(h) // len(of_label), 1) * h).sum(-1)
        return logit


def _features(convs: nn.ModuleList, embedded: Tensor) -> Tensor:
    """[B, T, E] -> [B, sum of the channels]."""
    x = embedded.transpose(1, 2)
    return torch.cat([F.leaky_relu(conv(x), 0.2).amax(-1) for conv in convs], dim=-1)


def load(network: nn.Module, arrays: Arrays, prefix: str) -> None:
    """Fill `network` from Flax's parameters `prefix/...`. Raises ValueError where one is missing, left over or of
    another shape."""
    given = {name.removeprefix(prefix + "/"): a for name, a in arrays.items() if name.startswith(prefix + "/")}
    for name, p in network.named_parameters():
        if not p.requires_grad:
            continue
        path, turned = _NAMES[type(network)](name)
        if path not in given:
            raise ValueError(f"there is no {prefix}/{path} for PyTorch's {name}")
        value = torch.from_numpy(np.ascontiguousarray(turned(given.pop(path)), np.float32))
        if value.shape != p.shape:
            raise ValueError(f"{prefix}/{path} is {tuple(value.shape)}; PyTorch's {name} is {tuple(p.shape)}")
        with torch.no_grad():
            p.copy_(value)
    if given:
        raise ValueError(f"PyTorch's network has no place for {sorted(given)}")


Named = tuple[str, Callable[[np.ndarray], np.ndarray]]
"""Flax's path, and what turns its array into PyTorch's."""


def _gates(a: np.ndarray) -> np.ndarray:
    """[..., 4H] in the order input, forget, output, candidate -> [4H, ...] with the candidate before the output."""
    i, f, o, u = np.split(a, 4, axis=-1)
    return np.concatenate([i, f, u, o], axis=-1).T


def _same(a: np.ndarray) -> np.ndarray:
    return a


_PARTS = {"weight": ("kernel", np.transpose), "bias": ("bias", _same)}
_OF_LSTM = {"weight_ih": "kernel", "weight_hh": "recurrent", "bias_ih": "bias"}


def _layer(name: str, of: str) -> Named:
    """A parameter `of.weight`, `of.weight_ih_l0` ..., as Flax's layer `name` has it."""
    part = name.rpartition(".")[2]
    if "_l0" in part:
        return f"{of}/{_OF_LSTM[part.partition('_l0')[0]]}", _gates
    kind, turned = _PARTS[part]
    return f"{of}/{kind}", turned


def _of_slices(name: str) -> Named:
    layer, *rest = name.split(".")
    if layer in ("prior", "posterior"):
        if rest[0] == "of_context":
            return _layer(name, f"{layer}/of_context")
        return f"{layer}/{rest[0]}", np.transpose
    return _layer(name, layer.removesuffix("_lstm"))


def _of_passages(name: str) -> Named:
    layer = name.split(".")[0]
    if layer in ("links", "counted"):
        return f"chain/{layer}", _same
    if layer == "ways":
        return _layer(name, f"ways_{int(name.endswith('_reverse'))}")
    return _layer(name, f"chain/{layer}" if layer in ("condition", "sustain") else layer)


def _of_generator(name: str) -> Named:
    layer, part = name.split(".")
    if layer in ("embed", "label"):
        return layer, _same
    if layer == "out":
        return _PARTS[part]
    return _layer(name, "cell" if layer == "lstm" else layer)


def _of_critic(name: str) -> Named:
    layer, *rest = name.split(".")
    if layer in ("embed", "label"):
        return layer, _same
    if layer in ("out", "both"):
        return _layer(name, "logit" if layer == "out" else layer)
    span = int(rest[0]) + 2
    kind, turned = _PARTS[rest[1]]
    if kind == "kernel":  # [span I, O] -> [O, I, span]
        turned = lambda a: a.reshape(span, -1, a.shape[-1]).transpose(2, 1, 0)  # noqa: E731
    return f"{'text' if layer == 'convs' else 'prompt'}_{span}/{kind}", turned


_NAMES: dict[type, Callable[[str], Named]] = {
    SliceModel: _of_slices,
    PassageModel: _of_passages,
    Generator: _of_generator,
    Critic: _of_critic,
}
