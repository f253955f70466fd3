"""jaxgen's VAE in pythae: its `VAE` under its `BaseTrainer`, whole epochs of the trainer's own `train_step`.

An epoch is as pythae publishes it: its DataLoader shuffles a resident dataset and collates each batch example by
example, its loss is read back after every step. Left out of `BaseTrainer.train`, in pythae's favour: progress bars,
folders and saved models, and the copy of the best model after an epoch. PyTorch is set up as for the peer `torch`.

Variants: `own` has pythae's default networks, one hidden layer of 512 with ReLU each, whatever sizes the row has;
`same` has ours as its encoder and decoder, so that the losses can be compared. Neither has our moving average or draws
pixels anew.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (pythae is installed in the peer's own environment only; a type checker takes this folder for it.)

import platform
from collections.abc import Mapping
from importlib.metadata import version
from itertools import repeat
from typing import Any

import numpy as np
import torch
from pythae.data.datasets import BaseDataset, collate_dataset_output
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import CallbackHandler, TrainingCallback
from torch.utils.data import DataLoader

from benchmarks.peers.torch import device, networks
from benchmarks.protocol import Incomparable, Job

EXAMPLES = 4000
"""Resident examples, as of our calls (`benchmarks/ours/call.py`), less those that would make a smaller last batch."""


class Trainer(BaseTrainer):
    """pythae's, which leaves no files and prints nothing."""

    def _set_output_dir(self) -> None:
        pass

    def _setup_callbacks(self) -> None:
        self.callback_handler = CallbackHandler([TrainingCallback()], self.model)


class Encoder(BaseEncoder):
    """Ours. x [B, C, H, W] -> mu and logvar [B, Z]."""

    def __init__(self, stack: torch.nn.Module):
        super().__init__()
        self.stack = stack

    def forward(self, x: torch.Tensor) -> ModelOutput:
        mu, logvar = self.stack(x.flatten(1)).chunk(2, dim=-1)
        return ModelOutput(embedding=mu, log_covariance=logvar)


class Decoder(BaseDecoder):
    """Ours, and the sigmoid that pythae's loss expects. z [B, Z] -> [B, C H W]."""

    def __init__(self, stack: torch.nn.Module):
        super().__init__()
        self.stack = stack

    def forward(self, z: torch.Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=torch.sigmoid(self.stack(z)))


class GivenVAE(VAE):
    """With noise from the iterator `given` in the place of its own, in a check."""

    given: Any

    def _sample_gauss(self, mu: torch.Tensor, std: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        noise = next(self.given)
        return mu + noise * std, noise


class VAEStep:
    """Epochs of `Trainer.train_step`."""

    def __init__(self, job: Job):
        config, self._sgd = job["config"], job["sgd"]
        if self._sgd:
            device.exact()
        self._same = job["variant"] == "same"
        self._model = _vae(config, self._same, given=bool(self._sgd))
        self.unit = max(1, EXAMPLES // config["batch"])
        self._trainer = _trainer(self._model, config, self._sgd, _images(config, self.unit * config["batch"]))
        self._epoch = 0
        self.facts = facts()

    def run(self, steps: int) -> None:
        for _ in range(0, steps, self.unit):
            self._epoch += 1
            self._trainer.train_step(self._epoch)
        device.finish()

    def costs(self) -> dict[str, Any]:
        return device.costs()

    def losses(self, steps: int, path: str) -> list[list[float]]:
        """Epochs of one batch. Raises `Incomparable` for pythae's own networks."""
        if not self._same:
            raise Incomparable("pythae's own networks are one hidden layer of 512 with ReLU, not ours")
        with np.load(path) as given:
            arrays = dict(given)
        networks.load(self._model.encoder.stack, arrays, "encoder")
        networks.load(self._model.decoder.stack, arrays, "decoder")
        x = _dataset(arrays["x"])
        self._trainer.train_loader = DataLoader(x, batch_size=len(x), collate_fn=collate_dataset_output)
        self._model.given = iter(torch.from_numpy(arrays["noise"]).to(device.DEVICE))
        return [[self._trainer.train_step(epoch)] for epoch in range(1, steps + 1)]


def _vae(config: Mapping[str, Any], same: bool, given: bool) -> VAE:
    model, (height, width, channels) = config["model"], config["shape"]
    how = VAEConfig(input_dim=(channels, height, width), latent_dim=model["z_dim"], reconstruction_loss="bce")
    stacks: tuple[torch.nn.Module, ...] = ()
    if same:
        size, widths = height * width * channels, model["widths"]
        encoder = networks.mlp([size, *widths, 2 * model["z_dim"]], networks.gelu)
        decoder = networks.mlp([model["z_dim"], *widths[::-1], size], networks.gelu)
        stacks = Encoder(encoder), Decoder(decoder)
    made = (GivenVAE if given else VAE)(how, *stacks)
    if given:  # the trainer tries the model once
        made.given = repeat(torch.zeros((), device=device.DEVICE))
    return made


def _trainer(model: VAE, config: Mapping[str, Any], sgd: float, x: np.ndarray) -> Trainer:
    """Ready to train."""
    tx = config["game"]["tx"]
    adam = {"betas": (tx["b1"], tx["b2"]), "eps": tx["eps"]}
    how = BaseTrainerConfig(
        per_device_train_batch_size=config["batch"],
        optimizer_cls="SGD" if sgd else "Adam",
        optimizer_params=None if sgd else adam,
        learning_rate=sgd or tx["lr"],
    )
    trainer = Trainer(model, _dataset(x), training_config=how)
    trainer.prepare_training()
    return trainer


def _dataset(x: np.ndarray) -> BaseDataset:
    """Of x [N, H, W, C] in [0, 1]."""
    return BaseDataset(torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2))), torch.zeros(len(x)))


def _images(config: Mapping[str, Any], n: int) -> np.ndarray:
    """[n, H, W, C], mostly dark, as digits are."""
    return np.random.default_rng(0).random((n, *config["shape"]), np.float32) ** 4


def facts() -> dict[str, Any]:
    versions = {name: version(name) for name in ("pythae", "torch", "numpy")} | {"python": platform.python_version()}
    return device.facts() | {"versions": versions}


build = VAEStep
