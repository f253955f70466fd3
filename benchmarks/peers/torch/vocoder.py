"""The networks of `jaxgen.models.vocoder` in PyTorch, and the step of that paired game.

Critics of periods have the samples of a period in rows of their own. Value and gradients of three layers in
channels_last, 32 waveforms of 4,096, one core of a busy machine, least of seven times: 16.5 ms of period 2,
14.4 of 7; as two-dimensional convolutions (HiFi-GAN's own form) 54 and 32. Overlapping windows are added by
shifts, 0.6 ms, `F.fold` 1.1; spectra are `rfft` of frames, 1.6 ms, `torch.stft` 2.5.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.peers.torch.device import DEVICE, new_step, prepared
from benchmarks.peers.torch.gan import LOSSES
from benchmarks.peers.torch.optim import Average, Optimiser
from benchmarks.peers.torch.residual import Dense, leaky_relu, named, through
from benchmarks.peers.torch.wave import Along

Tensor = torch.Tensor
Tensors = Sequence[Tensor]

FLOOR, CEILING, QUIET, LEAST = -4.0, 0.5, 1e-5, 1e-3
SILENCE = 1e-3
MOMENTUM, SILENT, TINY, GOLDEN = 0.99, -1 + 1e-5, 1e-8, 0.5 * (5**0.5 - 1)
REACH, UPDATES, ROUNDS, UPDATES_AFTER, UNHEARD = 8.0, 8, 2, 2, 1e-6
"""Of `jaxgen.speech`'s `mel`, `compare` and `griffin_lim`, and of `jaxgen.models.vocoder`."""


class Spectra:
    """Spectra of waveforms [B, T]: windows of so many samples, `hop` apart, the middle of each that of its own hop."""

    def __init__(self, window: int, hop: int):
        self.window, self.hop, self.pad = window, hop, (window - hop) // 2
        self.hann = torch.hann_window(window, device=DEVICE)

    def of(self, wave: Tensor) -> Tensor:
        """[B, T] -> complex [B, T / hop, window / 2 + 1]."""
        padded = F.pad(wave[:, None], (self.pad, self.pad), mode="reflect")[:, 0]
        return torch.fft.rfft(padded.unfold(1, self.window, self.hop) * self.hann)

    def squared(self, wave: Tensor) -> Tensor:
        """The same's squared magnitudes."""
        spectrum = self.of(wave)
        return spectrum.real.square() + spectrum.imag.square()

    def back(self, spectrum: Tensor) -> Tensor:
        """complex [B, F, window / 2 + 1] -> [B, F hop]."""
        framed = self._overlapped(torch.fft.irfft(spectrum, self.window) * self.hann)
        weight = self._overlapped((self.hann**2).expand(1, spectrum.shape[1], -1)).clamp(min=LEAST)
        return (framed / weight)[:, self.pad : self.pad + spectrum.shape[1] * self.hop]

    def _overlapped(self, framed: Tensor) -> Tensor:
        """[B, F, window] -> [B, (F - 1) hop + window]."""
        pieces, last = framed.unflatten(2, (-1, self.hop)), self.window // self.hop - 1
        return sum(F.pad(piece, (0, 0, i, last - i)) for i, piece in enumerate(pieces.unbind(2))).flatten(1)


class Mel(Spectra):
    """Log-mel spectrograms [B, F, bands], and magnitudes [B, F, bins] that have them."""

    def __init__(self, model: Mapping[str, Any]):
        super().__init__(model["window"], model["hop"])
        triangles = filters(model["rate"], model["window"], model["mels"])
        heard = np.flatnonzero(triangles.any(1))
        shares = triangles[np.clip(np.arange(len(triangles)), heard[0], heard[-1])]
        shares = shares / shares.sum(1, keepdims=True) / triangles.sum(0)
        gram = triangles @ triangles.T
        self._filters, self._shares, self._gram = (
            torch.from_numpy(a.astype(np.float32)).to(DEVICE) for a in (triangles, shares.T, gram)
        )

    def log_mel(self, wave: Tensor) -> Tensor:
        """[B, T] -> [B, T / hop, bands]."""
        amplitude = (self.squared(wave) + QUIET**2).sqrt() @ self._filters
        return (amplitude.clamp(min=10**FLOOR).log10() - FLOOR) * (2 / (CEILING - FLOOR)) - 1

    def even(self, x: Tensor) -> Tensor:
        """Magnitudes that are even within each band."""
        return 10 ** (FLOOR + (x + 1) * ((CEILING - FLOOR) / 2)) @ self._shares

    def magnitudes(self, x: Tensor, size: Tensor, updates: int) -> Tensor:
        """From `size` to those with the mel amplitudes, by multiplicative updates."""
        amplitude = 10 ** (FLOOR + (x + 1) * ((CEILING - FLOOR) / 2))
        wanted = torch.where(x > SILENT, amplitude, 0) @ self._filters.T
        for _ in range(updates):
            size = size * wanted / (size @ self._gram + TINY)
        return size

    def nearer(self, wave: Tensor, x: Tensor) -> Tensor:
        """[B, F hop], its mel amplitudes nearer to those of x."""
        spectrum = self.of(wave)
        size = (spectrum.real.square() + spectrum.imag.square() + UNHEARD**2).sqrt()
        return self.back(spectrum * (self.magnitudes(x, size, UPDATES_AFTER) / size))

    @torch.no_grad()
    def phases(self, size: Tensor, start: Tensor, iterations: int) -> Tensor:
        """Complex [B, F, bins] of size 1, by the fast Griffin-Lim algorithm from those of `start` [F, bins]."""
        spectrum = last = self.of(self.back(size * start))
        for _ in range(iterations):
            found = self.of(self.back(size * _unit(spectrum)))
            spectrum, last = torch.add(found, found - last, alpha=MOMENTUM), found
        return _unit(spectrum)

    def advance(self, frames: int) -> Tensor:
        """complex [F, bins]: the phases of tones in the middle of each bin."""
        k = np.arange(self.window // 2 + 1)
        turns = (k * self.hop * np.arange(frames)[:, None] % self.window) / self.window + k**2 * GOLDEN % 1
        return torch.from_numpy(np.exp(2j * np.pi * turns).astype(np.complex64)).to(DEVICE)


def _unit(spectrum: Tensor) -> Tensor:
    return spectrum / spectrum.abs().clamp(min=TINY)


def filters(rate: int, window: int, bands: int) -> np.ndarray:
    """[window / 2 + 1, bands]: triangles of area 2 on Slaney's mel scale: 200 / 3 Hz each up to 1,000 Hz, above which
    27 of them are a factor of 6.4."""
    linear = min(rate / 2, 1000) * 3 / 200
    corners = np.linspace(0, linear + 27 * np.log(max(rate / 2, 1000) / 1000) / np.log(6.4), bands + 2)
    hertz = np.minimum(corners, 15) * 200 / 3 * 6.4 ** (np.maximum(corners - 15, 0) / 27)
    bins = np.arange(window // 2 + 1) * rate / window
    peaks = np.stack([np.interp(bins, hertz[i : i + 3], (0, 1, 0)) for i in range(bands)], 1)
    return peaks * 2 / (hertz[2:] - hertz[:-2])


class Block(nn.Module):
    """x [B, C, 1, T] -> the same: x + 1(7(1(x)))."""

    def __init__(self, width: int, channels_last: bool):
        super().__init__()
        self.Dense_0, self.Dense_1 = (Dense(width, width, channels_last) for _ in range(2))
        self.Conv_0 = Along(width, width, 7)

    def forward(self, x):
        return x + self.Dense_1(leaky_relu(self.Conv_0(leaky_relu(self.Dense_0(leaky_relu(x))))))


class Generator(nn.Module):
    """Log-mel x [B, F, bands] -> waveform [B, F hop]; F is `frames`."""

    def __init__(self, model: Mapping[str, Any], frames: int, channels_last: bool):
        super().__init__()
        width, blocks, bins = model["width"], model["blocks"], model["window"] // 2 + 1
        self._mel, self._iterations, self._channels_last = Mel(model), model["iterations"], channels_last
        self._onward = self._mel.advance(frames)
        self.Conv_0 = Along(model["mels"], width, 7)
        names = named(self, [(f"Block_{i}", Block(width, channels_last)) for i in range(blocks)])
        self._first, self._second = names[: blocks // 2], names[blocks // 2 :]
        sizes = [(width, bins), *[(2 * bins, width)] * bool(self._iterations), (width, bins)]
        layers = [(f"Dense_{i}", Dense(before, after, channels_last)) for i, (before, after) in enumerate(sizes)]
        self._dense = named(self, layers)

    def forward(self, x):
        moved, *beside, turn = (getattr(self, name) for name in self._dense)
        h = through(self, self._first, self.Conv_0(self._rows(x)))
        start = self._mel.even(x) * _frames(moved(leaky_relu(h))).clamp(-REACH, REACH).exp()
        size = self._mel.magnitudes(x, start, UPDATES)
        phase = None
        if beside:
            phase = self._mel.phases(size, self._onward, self._iterations)
            steady = phase * self._onward.conj()
            h = h + beside[0](self._rows(torch.cat([steady.real, steady.imag], 2)))
        angle = _frames(turn(leaky_relu(through(self, self._second, h))))
        spectrum = torch.complex(size * angle.cos(), size * angle.sin())
        wave = self._mel.back(spectrum if phase is None else spectrum * phase)
        for _ in range(ROUNDS):
            wave = self._mel.nearer(wave, x)
        return wave

    def _rows(self, x: Tensor) -> Tensor:
        """[B, F, C] -> [B, C, 1, F]."""
        rows = x.transpose(1, 2)[:, :, None]
        return rows if self._channels_last else rows.contiguous()


def _frames(h: Tensor) -> Tensor:
    """[B, C, 1, F] -> [B, F, C] fp32."""
    return h[:, :, 0].float().transpose(1, 2)


class Layers(nn.Module):
    """h [R, 1, 1, T], backwards -> (logits, features), each of the rows and places at once."""

    def __init__(self, widths: Sequence[int], taps: int, stride: int, channels_last: bool):
        super().__init__()
        before, stack = 1, []
        for i, width in enumerate(widths):
            stack.append((f"Conv_{i}", Along(before, width, taps, stride, True)))
            before = width
        stack.append((f"Conv_{len(widths)}", Along(before, before, 3, 1, True)))
        self._stack, self.Dense_0 = named(self, stack), Dense(before, 1, channels_last)

    def through(self, h: Tensor, n: int) -> tuple[Tensor, Tensors]:
        """Logits [n, places] in fp32, and features [n, ...]."""
        features = []
        for name in self._stack:
            h = leaky_relu(getattr(self, name)(h))
            features.append(h)
        return self.Dense_0(h).reshape(n, -1).float(), features


class PeriodCritic(Layers):
    """y [B, T] -> (logits [B, places], features)."""

    def __init__(self, period: int, widths: Sequence[int], channels_last: bool):
        super().__init__(widths, 5, 3, channels_last)
        self._period = period

    def forward(self, y):
        n, p = len(y), self._period
        if fill := -y.shape[1] % p:
            y = F.pad(y[:, None], (0, fill), mode="reflect")[:, 0]
        rows = y.flip(1).unflatten(1, (-1, p)).transpose(1, 2).reshape(n * p, 1, 1, -1)
        return self.through(rows, n)


class ScaleCritic(Layers):
    """y [B, T] -> (logits [B, places], features), of means over `scale` samples."""

    def __init__(self, scale: int, widths: Sequence[int], channels_last: bool):
        super().__init__(widths, 8, 4, channels_last)
        self._scale = scale

    def forward(self, y):
        whole = y[:, : y.shape[1] // self._scale * self._scale]
        means = whole.unflatten(1, (-1, self._scale)).mean(2) if self._scale > 1 else whole
        return self.through(means.flip(1)[:, None, None], len(y))


class Critics(nn.Module):
    """y [B, T] -> (logits, features) of each critic in turn."""

    def __init__(self, model: Mapping[str, Any], channels_last: bool):
        super().__init__()
        widths = model["critic"]
        critics = [
            (f"PeriodCritic_{i}", PeriodCritic(p, widths, channels_last)) for i, p in enumerate(model["periods"])
        ]
        critics += [(f"ScaleCritic_{i}", ScaleCritic(1 << i, widths, channels_last)) for i in range(model["scales"])]
        self._critics = named(self, critics)

    def forward(self, y):
        seen = [getattr(self, name)(y) for name in self._critics]
        return [logits for logits, _ in seen], [features for _, features in seen]


class VocoderStep:
    """One update of each player: waveforms y [B, T] and what is made of their log-mel spectrograms, which are made in
    the step, as ours are. Spectra at three resolutions are compared, and what the critics' layers see."""

    def __init__(
        self,
        gen: nn.Module,
        disc: nn.Module,
        model: Mapping[str, Any],
        game: Mapping[str, Any],
        variant: str,
        precision: str,
        sgd: float,
    ):
        if game["penalty"]:
            raise ValueError(f"the PyTorch peer has no penalty of a vocoder's critics, as {game['penalty']!r}")
        self._disc, self._params, self._variant = disc, list(disc.parameters()), variant
        self._gen_tx = Optimiser(gen.parameters(), game["gen"], sgd)
        self._disc_tx = Optimiser(disc.parameters(), game["disc"], sgd)
        self._ema, self._loss = Average(gen, game["ema_decay"]), LOSSES[game["loss"]]
        self._l1, self._adversarial, self._matching = game["l1"], game["adversarial"], game["matching"]
        self._mel = Mel(model)
        self._others = Spectra(2 * model["window"], 2 * model["hop"]), Spectra(model["window"] // 2, model["hop"] // 2)
        self._spectra = prepared(self._spectra_of, variant)
        self._generate, self._disc_loss, self._gen_loss = (
            prepared(function, variant, precision) for function in (gen, self._disc_loss_of, self._gen_loss_of)
        )

    def __call__(self, y: Tensor, *_: None) -> Tensors:
        """The critics' and the generator's adversarial losses, the spectra's difference and the features', before the
        updates."""
        new_step(self._variant)
        spectra = self._spectra(y)
        fake = self._generate(spectra[0])
        self._learns(True)
        critic = self._disc_loss(y, fake.detach())
        self._disc_tx.update(critic)
        self._learns(False)
        total, *found = self._gen_loss(y, fake, spectra)
        self._gen_tx.update(total)
        self._ema.update()
        return [one.detach() for one in (critic, *found)]

    def _learns(self, yes: bool) -> None:
        for p in self._params:
            p.requires_grad_(yes)

    def _spectra_of(self, y: Tensor) -> Tensors:
        """The log-mel spectrogram, which also is what the generator is given, and log magnitudes."""
        others = [other.squared(y).clamp(min=SILENCE**2).log10() / 8 for other in self._others]
        return [self._mel.log_mel(y), *others]

    def _disc_loss_of(self, y: Tensor, fake: Tensor) -> Tensor:
        logits, _ = self._disc(torch.cat([y, fake]))
        pairs = [each.chunk(2) for each in logits]
        return sum(self._loss(real.flatten(), made.flatten())[0].mean() for real, made in pairs) / len(pairs)

    def _gen_loss_of(self, y: Tensor, fake: Tensor, spectra: Tensors) -> tuple[Tensor, ...]:
        """(total, its adversarial part, the spectra's difference, the features')."""
        with torch.no_grad():
            real_logits, real_features = self._disc(y)
        logits, features = self._disc(fake)
        sides = zip(real_logits, logits, strict=True)
        fooled = sum(self._loss(a.flatten(), b.flatten())[1].mean() for a, b in sides) / len(logits)
        away = sum(F.l1_loss(a, b) for a, b in zip(self._spectra_of(fake), spectra, strict=True)) / len(spectra)
        pairs = [pair for one in zip(features, real_features, strict=True) for pair in zip(*one, strict=True)]
        matching = sum(F.l1_loss(a, b) for a, b in pairs) / len(pairs)
        return self._l1 * away + self._adversarial * fooled + self._matching * matching, fooled, away, matching
