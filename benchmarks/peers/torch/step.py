"""jaxgen's systems, a step at a time."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.peers.torch import device, networks, residual, spade, unet, video, vocoder, wave
from benchmarks.peers.torch.degrade import degradation
from benchmarks.peers.torch.device import DEVICE
from benchmarks.peers.torch.gan import GANStep
from benchmarks.peers.torch.sequence import SequenceStep
from benchmarks.peers.torch.translate import PairedStep, UnpairedStep
from benchmarks.peers.torch.vae import VAEStep
from benchmarks.protocol import Job
from jaxgen.levels.palette import PALETTE
from jaxgen.levels.tiles import TILESETS


class TorchStep:
    """One system in one variant: `eager`, `channels_last`, or a compiled one (of channels_last for convolutions)."""

    def __init__(self, job: Job):
        config, sgd = job["config"], job["sgd"]
        if sgd:
            device.exact()
        model, self._shape = config["model"], image_shape(config)
        self._conv = model["type"] not in ("MLP", "MLPVAE")
        self._channels_last = self._conv and job["variant"] != "eager"
        game, how = config["game"], {"variant": job["variant"], "precision": config["precision"], "sgd": sgd}
        self._beside: tuple[torch.Tensor | None, ...] = (None,)  # what a step is given: nothing makes it draw its own
        self._spoil = degradation(game["degrade"]) if game.get("degrade") else None
        self._refuse(model, game)
        if game["type"] == "Adversarial":
            gen, disc = self._pair(config)
            joint = model["type"] != "Conv"  # batch normalisation in the critic mixes examples
            self._step: Any = GANStep(gen, disc, game, getattr(gen, "z_dim", model.get("z_dim")), joint=joint, **how)
            self._networks = {"gen": gen, "disc": disc}
        elif model["type"] == "Vocoder":
            gen, disc = self._pair(config)
            self._step = vocoder.VocoderStep(gen, disc, model, game, **how)
            self._networks = {"gen": gen, "disc": disc}
        elif game["type"] in ("Paired", "Unpaired"):
            self._step = self._translation(config, how)
        else:
            encoder, decoder = self._autoencoder(model)
            self._step = VAEStep(encoder, decoder, game, **how)
            self._networks = {"encoder": encoder, "decoder": decoder}
        by_kind = ("MLP", "Conv", "MLPVAE", "ConvVAE")
        self._load = networks.load if model["type"] in by_kind else residual.load
        self._x = self._placed(images(config))
        if classes := game.get("classes"):
            self._beside = (None, torch.arange(config["batch"], device=DEVICE) % classes)
        self.unit = game.get("penalty_every", 1)
        self.facts = device.facts()

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._step(self._x, *self._beside)
        device.finish()

    def costs(self) -> dict[str, Any]:
        return device.costs()

    def losses(self, steps: int, path: str) -> list[list[float]]:
        with np.load(path) as given:
            arrays = dict(given)
        for name, network in self._networks.items():
            self._load(network, arrays, name)
        x = self._placed(arrays["x"])
        return [[float(loss) for loss in self._step(x, *self._given(arrays, i))] for i in range(steps)]

    def _given(self, arrays: Mapping[str, np.ndarray], i: int) -> tuple[torch.Tensor | None, ...]:
        """What the i-th step of a check is given: what ours drew, unless it comes out the same when it is made here."""
        if isinstance(self._step, PairedStep) and "noise" in arrays:
            return self._placed(arrays["source"]), self._placed(arrays["noise"][i])
        if "noise" in arrays:
            label = [torch.from_numpy(arrays["label"]).to(DEVICE).long()] if "label" in arrays else []
            return torch.from_numpy(arrays["noise"][i]).to(DEVICE), *label
        if isinstance(self._step, vocoder.VocoderStep) or (self._spoil and not self._spoil.random):
            return (None,)
        return (self._placed(arrays["source"][i] if self._spoil else arrays["source"]),)

    @staticmethod
    def _refuse(model: Mapping[str, Any], game: Mapping[str, Any]) -> None:
        """Raises ValueError for what PyTorch's networks have not."""
        if model.get("spectral_norm"):
            raise ValueError("the PyTorch peer has no spectral norm")
        if game.get("classes") and model["type"] not in ("Residual", "Spectrogram", "Wave", "Clip"):
            raise ValueError("the PyTorch peer has labels with models Residual, Spectrogram, Wave and Clip only")
        if game.get("augment") and model["type"] == "MLP":
            raise ValueError("the PyTorch peer augments images, not an MLP's vectors")

    def _placed(self, x: np.ndarray) -> torch.Tensor:
        """x [B, H, W, C] in the networks' layout: [B, H W C], or [B, C, H, W] in the variant's memory format; so clips
        [B, T, H, W, C], and waveforms [B, T, 1] as images of one row. Waveforms [B, T] as they are."""
        flat = torch.from_numpy(np.ascontiguousarray(x, np.float32)).to(DEVICE)
        if not self._conv:
            return flat.flatten(1)
        if flat.ndim == 2:
            return flat
        image = torch.movedim(flat[:, None] if flat.ndim == 3 else flat, -1, 1)
        last = torch.channels_last if image.ndim == 4 else torch.channels_last_3d
        return image.contiguous(memory_format=last if self._channels_last else torch.contiguous_format)

    def _residual_pair(self, config: dict[str, Any]) -> tuple[torch.nn.Module, torch.nn.Module]:
        model, classes, last = config["model"], config["game"]["classes"], self._channels_last
        domain, _, name = config["domain"].partition("/")
        if domain == "levels":
            tiles = TILESETS[name]
            placed = [tiles.chars.index(char) for char in model["placed"]]
            ground = tiles.chars.index(tiles.ground)
            gen: torch.nn.Module = residual.LevelGenerator(model, self._shape, placed, ground, last)
        else:
            gen = residual.Generator(model, self._shape, classes, last)
        return self._formatted(gen, residual.Critic(model, self._shape, classes, domain == "levels", last))

    def _pair(self, config: dict[str, Any]) -> tuple[torch.nn.Module, torch.nn.Module]:
        model, last = config["model"], self._channels_last
        if model["type"] in ("Residual", "Spectrogram"):
            return self._residual_pair(config)
        if model["type"] == "Clip":
            how = model, self._shape, config["game"]["classes"], last
            return self._formatted(video.Generator(*how), video.Critics(*how))
        if model["type"] == "Vocoder":
            gen = vocoder.Generator(model, self._shape[0] // model["hop"], last)
            return self._formatted(gen, vocoder.Critics(model, last))
        if model["type"] == "Wave":
            how = model, self._shape[0], config["game"]["classes"], last
            return self._formatted(wave.Generator(*how), wave.Critic(*how))
        if model["type"] == "MLP":
            size = int(np.prod(self._shape))
            gen = networks.mlp([model["z_dim"], *model["gen"], size], last=[torch.nn.Tanh()])
            disc = networks.mlp([size, *model["disc"], 1], dropout=model["dropout"])
            return gen.to(DEVICE), disc.to(DEVICE)
        return self._formatted(
            networks.conv_generator(model, self._shape, last),
            networks.conv_critic(model, self._shape, last),
        )

    def _translation(self, config: dict[str, Any], how: dict[str, Any]) -> PairedStep | UnpairedStep:
        """The step, which makes its networks known and where need be has sources beside its images."""
        game, model, last = config["game"], config["model"], self._channels_last
        paired, spoil, channels = game["type"] == "Paired", self._spoil, self._shape[2]
        kinds = len(PALETTE) if model["type"] == "Spade" else 0
        before = channels * source_frames(config)
        seen = channels + (kinds or before + bool(spoil and spoil.masked)) if paired else channels
        pairs = [
            self._formatted(
                spade.SpadeGenerator(model, kinds, channels, last)
                if kinds
                else unet.UNet(model, self._shape, before, spoil, last),
                unet.PatchCritic(model, self._shape[:2], seen, last),
            )
            for _ in range(1 if paired else 2)
        ]
        self._networks = dict(zip(("gen", "disc"), pairs[0], strict=True))
        if not spoil:
            shape = (*self._shape[:2], before)
            if kinds:  # a map, of cells
                shape = (*(n // (model["patch"] << len(model["gen"]) - 1) for n in shape[:2]), kinds)
            self._beside = (self._placed(sources(config["batch"], shape)),)
        if paired:
            return PairedStep(*pairs[0], game, spoil, model.get("z_dim", 0), **how)
        self._networks |= dict(zip(("back_gen", "back_disc"), pairs[1], strict=True))
        gens, discs = zip(*pairs, strict=True)
        return UnpairedStep(gens, discs, game, last, **how)

    def _autoencoder(self, model: dict[str, Any]) -> tuple[torch.nn.Module, torch.nn.Module]:
        if model["type"] == "MLPVAE":
            size, widths = int(np.prod(self._shape)), model["widths"]
            encoder = networks.mlp([size, *widths, 2 * model["z_dim"]], networks.gelu)
            decoder = networks.mlp([model["z_dim"], *widths[::-1], size], networks.gelu)
            return encoder.to(DEVICE), decoder.to(DEVICE)
        return self._formatted(
            networks.conv_encoder(model, self._shape, self._channels_last),
            networks.conv_decoder(model, self._shape, self._channels_last),
        )

    def _formatted(self, *pair: torch.nn.Module) -> tuple[torch.nn.Module, torch.nn.Module]:
        first, second = (network.to(DEVICE) for network in pair)
        layouts = {4: torch.channels_last, 5: torch.channels_last_3d} if self._channels_last else {}
        for p in (*first.parameters(), *second.parameters()):
            p.data = p.data.contiguous(memory_format=layouts.get(p.ndim, torch.contiguous_format))
        return first, second


def image_shape(config: Mapping[str, Any]) -> Sequence[int]:
    """What one example has, which is the last frame of a clip where that is predicted."""
    return config["shape"][1:] if config["domain"] == "video/prediction" else config["shape"]


def source_frames(config: Mapping[str, Any]) -> int:
    """How many images a source has."""
    return config["shape"][0] - 1 if config["domain"] == "video/prediction" else 1


def images(config: Mapping[str, Any]) -> np.ndarray:
    """[B, *shape]: as `benchmarks.ours.system.images`."""
    rng, shape = np.random.default_rng(0), image_shape(config)
    if config["domain"].startswith("levels/"):
        return np.eye(shape[2])[rng.integers(shape[2], size=(config["batch"], *shape[:2]))]
    x = rng.random((config["batch"], *shape)) ** 4  # mostly dark, as digits are
    return x if config["game"]["type"] == "Variational" else 2 * x - 1


def sources(n: int, shape: Sequence[int]) -> np.ndarray:
    """[n, *shape]: as those of `benchmarks.ours.system.examples`."""
    return 1 - 2 * np.random.default_rng(1).random((n, *shape)) ** 4


def build(job: Job) -> Any:
    """Of images here, of sequences there."""
    return SequenceStep(job) if job["config"]["game"]["type"].endswith("Sequence") else TorchStep(job)
