"""The networks of `jaxgen.models.video` in PyTorch: pictures by the layers of `residual`, motion by a loop of which all
that the noise decides is computed at once before it, as the place is fed back and the fused `nn.GRU` can't be used.

A clip is [B, C, T, H, W]. The weights go by Flax's names: `residual.load`.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.peers.torch import residual
from benchmarks.peers.torch.device import DEVICE
from benchmarks.peers.torch.residual import leaky_relu, named

Tensor = torch.Tensor
DARK = 1e-6
SHARP, GAIN, LEVER, JITTER, SHIFT = 0.999, 0.03, 0.3, 0.03, 2.0
WAVES = (2.0, 4.0, 8.0)


class Gates(nn.Module):
    """The layers of Flax's `GRUCell`: of inputs `ir`, `iz`, `in`, of the state `hr`, `hz`, `hn`."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__()
        for gate in "rzn":
            self.add_module(f"i{gate}", nn.Linear(inputs, hidden))
            self.add_module(f"h{gate}", nn.Linear(hidden, hidden, bias=gate == "n"))

    def weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """All gates' at once: of the inputs [3 hidden, inputs], their biases, of the state [3 hidden, hidden]."""
        inputs, state = ([getattr(self, side + gate) for gate in "rzn"] for side in "ih")
        return (
            torch.cat([layer.weight for layer in inputs]),
            torch.cat([layer.bias for layer in inputs]),
            torch.cat([layer.weight for layer in state]),
        )


class Mover(nn.Module):
    """(h [B, hidden], place [B, 2], speed [B, 2]), noise [B, T, M] -> (codes [B, T, hidden], places [B, T, 2])."""

    def __init__(self, motion: int, hidden: int):
        super().__init__()
        self.GRUCell_0, self.Dense_0, self._hidden = Gates(motion + 6, hidden), nn.Linear(hidden, 2), hidden

    def forward(self, h, way, speed, noise):
        of_input, bias, of_state = self.GRUCell_0.weights()
        of_noise, of_rest = of_input.split([noise.shape[2], 6], 1)
        of_rest, of_state, last = of_rest.T, of_state.T, self.GRUCell_0.hn.bias
        codes, places, two = [], [], 2 * self._hidden
        sine, cosine = _turned(way)
        for known in F.linear(noise, of_noise, bias).unbind(1):
            given, own = torch.addmm(known, torch.cat([sine, cosine, speed], 1), of_rest), h @ of_state
            reset, keep = torch.sigmoid(given[:, :two] + own[:, :two]).chunk(2, 1)
            new = torch.tanh(torch.addcmul(given[:, two:], reset, own[:, two:] + last))
            h = torch.lerp(new, h, keep)
            speed = speed + GAIN * self.Dense_0(h)
            way = way + speed
            sine, cosine = _turned(way)
            codes.append(h)
            places.append(sine)
        return torch.stack(codes, 1), torch.asin(SHARP * torch.stack(places, 1)) / math.asin(SHARP)


def _turned(way: Tensor) -> tuple[Tensor, Tensor]:
    turn = way * (math.pi / 2)
    return torch.sin(turn), torch.cos(turn)


class Motion(nn.Module):
    """start [B, M + classes], noise [B, T, M] -> (codes [B, T, hidden], places [B, T, 2])."""

    def __init__(self, motion: int, classes: int, hidden: int):
        super().__init__()
        self.Dense_0, self.Dense_1 = nn.Linear(motion + classes, hidden), nn.Linear(hidden, hidden)
        self.Dense_2, self.Dense_3 = nn.Linear(hidden, 2), nn.Linear(hidden, 2)
        self.ScanMover_0 = Mover(motion, hidden)

    def forward(self, start, noise):
        h = torch.tanh(self.Dense_0(start))
        first = leaky_relu(self.Dense_1(h))
        return self.ScanMover_0(h, self.Dense_2(first), self.Dense_3(first), noise)


class Generator(nn.Module):
    """z [B, Z] (and label [B]) -> clips [B, C, T, H, W] in [-1, 1]."""

    def __init__(self, model: Mapping[str, Any], shape: Sequence[int], classes: int, channels_last: bool):
        super().__init__()
        frames, height, width, channels = shape
        self._content, self._motion, self._shape = model["content"], model["motion"], shape
        self.z_dim = model["content"] + model["motion"] * (frames + 1)
        self._placed, self._channels_last = model["moves"] == "place", channels_last
        self._classes = classes
        self.Motion_0 = Motion(model["motion"], classes, model["hidden"])
        size, patch, z_dim = shape[1:], model["patch"], model["content"] + model["hidden"]
        if self._placed:
            size, patch, z_dim = (height // 2, width // 2, channels), max(1, patch // 2), model["content"]
            self._away = [_away(n, n // 2) for n in (height, width)]
        picture = {"gen": model["gen"], "patch": patch, "z_dim": z_dim, "blocks": (1,), "norm": model["norm"]}
        picture["style"] = 0 if self._placed else model["content"]
        self._still = model["still"]
        if self._still:
            self._away, self.Dense_0 = [_away(n, n) for n in (height, width)], nn.Linear(model["hidden"], 2)
            once = {**picture, "z_dim": model["content"], "style": 0}
            self.still = residual.Generator(once, size, classes, channels_last)
            size = height, width, channels + 1
        self.draw = residual.Generator(picture, size, classes, channels_last)

    def forward(self, z, *label):
        content, start, noise = z.split([self._content, self._motion, z.shape[1] - self._content - self._motion], 1)
        if label:
            start = torch.cat([start, F.one_hot(label[0], self._classes).to(z.dtype)], 1)
        codes, places = self.Motion_0(start, noise.unflatten(1, (-1, self._motion)))
        if self._placed:
            first = [(places[..., i] + 1) * (self._shape[i + 1] // 2 / 2) for i in (0, 1)]
            clips = 2 * self._laid((self.draw(content, *label) + 1) / 2, first) - 1
            if self._channels_last:
                clips = clips.contiguous(memory_format=torch.channels_last_3d)
            return clips
        each = torch.cat([content[:, None].expand(-1, codes.shape[1], -1), codes], 2)
        repeated = [of.repeat_interleave(codes.shape[1]) for of in label]
        style = each[..., : self._content].flatten(0, 1)
        frames = self.draw(each.flatten(0, 1), *repeated, style=style).unflatten(0, (-1, self._shape[0]))
        clips = frames.transpose(1, 2)
        if not self._still:
            return clips
        by = SHIFT * torch.tanh(self.Dense_0(codes))
        behind = 2 * self._laid((self.still(content, *label) + 1) / 2, by.unbind(2)) - 1
        mask = (1 + clips[:, -1:]) / 2
        return mask * clips[:, :-1] + (1 - mask) * behind

    def _laid(self, thing: Tensor, first: Sequence[Tensor]) -> Tensor:
        """thing [B, C, h, w] -> [B, C, T, H, W], its first row and column at `first`, each [B, T], in pixels: a product
        of matrices along each axis."""
        rows, columns = (_taps(first[i], self._away[i]) for i in (0, 1))
        tall = torch.matmul(rows.flatten(1, 2)[:, None], thing).unflatten(2, rows.shape[1:3])
        return torch.matmul(tall, columns.mT[:, None])


def _away(n: int, small: int) -> Tensor:
    """[n, small]: where along an axis pixel i of a frame lies from pixel j of a thing in its first place."""
    return (torch.arange(n)[:, None] - torch.arange(small)).float().to(DEVICE)


def _taps(first: Tensor, away: Tensor) -> Tensor:
    """first [...], in pixels -> [..., big, small]."""
    return torch.relu(1 - (away - first[..., None, None]).abs())


class FrameCritic(nn.Module):
    """x [B, C, T, H, W] (and label [B]) -> logits [B, frames], of frames that are drawn anew each time."""

    def __init__(self, model: Mapping[str, Any], shape: Sequence[int], classes: int, channels_last: bool):
        super().__init__()
        self._frames, self._follow = model["frames"], model["moves"] == "place"
        size, patch = shape[1:], model["patch"]
        if self._follow:
            size, patch = (shape[1] // 2, shape[2] // 2, shape[3]), max(1, patch // 2)
            self._away, self._middle = [_away(n, n // 2) for n in shape[1:3]], Middle(shape)
        picture = {"disc": model["disc"], "patch": patch, "blocks": (1,)}
        self.Critic_0 = residual.Critic(picture, size, classes, False, channels_last)

    def forward(self, x, *label):
        n, total = len(x), x.shape[2]
        flat = x.transpose(1, 2).flatten(0, 1)  # in channels_last, and of one channel, no copy
        if self._frames < total:
            chosen = torch.rand(n, total, device=x.device).argsort(1)[:, : self._frames]
            chosen = chosen + total * torch.arange(n, device=x.device)[:, None]
            flat = flat.permute(0, 2, 3, 1)[chosen.flatten()].permute(0, 3, 1, 2)
        label = [of.repeat_interleave(self._frames) for of in label]
        return self.Critic_0(self._followed(flat) if self._follow else flat, *label).view(n, self._frames)

    def _followed(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C, H / 2, W / 2]: the part around the middle of what is bright."""
        light = (x + 1) / 2
        middle = self._middle(light.mean(1))
        taps = [
            _taps((middle[:, axis] + 1) * ((away.shape[0] - away.shape[1]) / 2), away)
            for axis, away in enumerate(self._away)
        ]
        return 2 * torch.matmul(torch.matmul(taps[0].mT[:, None], light), taps[1][:, None]) - 1


class Middle(nn.Module):
    """light [N, H, W] -> [N, 2]: the middle of what lies within a quarter of the sides from its middle."""

    def __init__(self, shape: Sequence[int]):
        super().__init__()
        self._at = [((torch.arange(n) - (n - 1) / 2) * (4 / n)).to(DEVICE) for n in shape[1:3]]

    def forward(self, light):
        first = self._of_all(light.detach())
        rows, columns = ((at - first[:, i, None]).abs() <= 1 for i, at in enumerate(self._at))
        return self._of_all(light * (rows[:, :, None] & columns[:, None]))

    def _of_all(self, light: Tensor) -> Tensor:
        light = light + DARK
        return torch.stack([light.sum(2 - i) @ at for i, at in enumerate(self._at)], 1) / light.sum((1, 2))[:, None]


class Halving(nn.Conv3d):
    """x [B, I, T, H, W] -> [B, O, ceil(T / 2), ...], 4x4x4, SAME, whose odd place is at the end."""

    def __init__(self, before: int, after: int):
        super().__init__(before, after, 4, 2, padding=1)

    def forward(self, x):
        odd = [n % 2 for n in x.shape[2:]]
        if any(odd):
            x = F.pad(x, (0, odd[2], 0, odd[1], 0, odd[0]))
        return super().forward(x)


class ClipCritic(nn.Module):
    """x [B, C, T, H, W] (and label [B]) -> logits [B, 1]."""

    def __init__(self, model: Mapping[str, Any], shape: Sequence[int], classes: int, channels_last: bool):
        super().__init__()
        self._patch, self._channels_last = model["patch"], channels_last
        size, before, stack = [shape[0], *(n // self._patch for n in shape[1:3])], shape[3] * self._patch**2, []
        for i, width in enumerate(reversed(model["clip"])):
            stack.append((f"Conv_{i}", Halving(before, width)))
            size, before = [-(-n // 2) for n in size], width
        self._stack = named(self, stack)
        features = int(np.prod(size)) * before
        self.Dense_0 = nn.Linear(features, 1)
        if classes:
            self.Embed_0 = nn.Embedding(classes, features)

    def forward(self, x, *label):
        h = self._deep(x)
        for name in self._stack:
            h = leaky_relu(getattr(self, name)(h))
        features = h.permute(0, 2, 3, 4, 1).flatten(1)  # in Flax's order; few
        logit = self.Dense_0(features)
        if label:
            logit = logit + (self.Embed_0(label[0]) * features).sum(1, keepdim=True) * features.shape[1] ** -0.5
        return logit

    def _deep(self, x):
        """The pixels of a patch as channels: [B, C, T, H, W] -> [B, C p p, T, H / p, W / p]."""
        p = self._patch
        x = x.unflatten(3, (-1, p)).unflatten(5, (-1, p))  # [B, C, T, h, p, w, p]
        if not self._channels_last:
            return x.permute(0, 1, 4, 6, 2, 3, 5).flatten(1, 3)
        return x.permute(0, 2, 3, 5, 1, 4, 6).flatten(4).permute(0, 4, 1, 2, 3)


class PathCritic(nn.Module):
    """x [B, C, T, H, W] -> logits [B, 1]: of places, steps and their changes."""

    def __init__(self, shape: Sequence[int], features: int = 128):
        super().__init__()
        self._middle, seen = Middle(shape), 2 * (4 * shape[0] - 5) + shape[0] - 1 + 2 * len(WAVES)
        self._waves = torch.tensor(WAVES, device=DEVICE)
        self.Dense_0, self.Dense_1 = nn.Linear(seen, features), nn.Linear(features, features)
        self.Dense_2 = nn.Linear(features, 1)

    def forward(self, x):
        light = (x.mean(1) + 1) / 2
        places = self._middle(light.flatten(0, 1)).unflatten(0, light.shape[:2])
        places = torch.lerp(places.detach(), places, LEVER)
        steps = places.diff(dim=1)
        changes = steps.diff(dim=1)
        changed = changes.square() / (changes.square() + JITTER**2)
        fast = (steps.square().sum(2) + DARK).sqrt()
        waves = 2 * math.pi * fast.mean(1, keepdim=True) * self._waves
        both = torch.cat([places, 4 * steps, 8 * changes, changed], 1).flatten(1)
        h = torch.cat([both, 4 * fast, waves.sin(), waves.cos()], 1)
        return self.Dense_2(leaky_relu(self.Dense_1(leaky_relu(self.Dense_0(h)))))


class Critics(nn.Module):
    """x [B, C, T, H, W] (and label [B]) -> (logits of frames [B, frames], clips [B, 1], and of placed things paths)."""

    def __init__(self, model: Mapping[str, Any], shape: Sequence[int], classes: int, channels_last: bool):
        super().__init__()
        self.FrameCritic_0 = FrameCritic(model, shape, classes, channels_last)
        self.ClipCritic_0 = ClipCritic(model, shape, classes, channels_last)
        self.PathCritic_0 = PathCritic(shape) if model["moves"] == "place" else None

    def forward(self, x, *label):
        logits = self.FrameCritic_0(x, *label), self.ClipCritic_0(x, *label)
        return logits if self.PathCritic_0 is None else (*logits, self.PathCritic_0(x))
