"""Training itself, on real data: as `benchmarks.ours.train`, from the same weights, on the same batches.

The data lie on the device as the networks take them, in fp32, so that a step has only to gather its batch.
"""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportInvalidTypeForm=false
# (PyTorch is installed in the peer's own environment only; a type checker takes this folder for it.)

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.peers.torch import device
from benchmarks.peers.torch.device import DEVICE
from benchmarks.peers.torch.step import TorchStep
from benchmarks.protocol import Job
from jaxgen.data.order import call_indices


class Training(TorchStep):
    """A GAN or a VAE of images without labels, from the weights of the file. Raises ValueError for anything else."""

    def __init__(self, job: Job):
        config = job["config"]
        game = config["game"]
        if game["type"] not in ("Adversarial", "Variational") or game.get("classes"):
            raise ValueError("the PyTorch peer trains GANs and VAEs of images without labels")
        torch.manual_seed(config["seed"])
        super().__init__(job)
        with np.load(job["options"]["data"]) as given:
            arrays = dict(given)
        for name, network in self._networks.items():
            self._load(network, arrays, name)
        self._average = self._step._ema
        for mean, source in zip(self._average._mean, self._average._source, strict=True):
            mean.copy_(source)  # it began with the weights that PyTorch drew
        image = arrays["image"].astype(np.float32)
        self._data = self._placed(image / 255 if game["type"] == "Variational" else image / 127.5 - 1)
        self._drawn_of = {name: arrays[name] for name in ("x", "noise") if name in arrays}
        self._seed, self._batch, self._size = config["seed"], config["batch"], config["shape"]
        self._done = 0
        self.unit = config["loop"]["steps_per_call"]  # as ours: both have taken as many steps when the turns begin

    def run(self, steps: int) -> None:
        order = call_indices(self._seed, self._done, steps, len(self._data), self._batch)
        for indices in torch.from_numpy(order).to(DEVICE):
            self._step(self._data[indices])
        self._done += steps
        device.finish()

    def draw(self, path: str) -> None:
        noise = torch.from_numpy(self._drawn_of["noise"]).to(DEVICE)
        networks: Any = self._networks
        with self._averaged(), torch.no_grad():
            if "gen" in networks:
                out = {"samples": self._image(networks["gen"](noise))}
            else:
                x = self._placed(self._drawn_of["x"].reshape(-1, *self._size))
                mu, logvar = networks["encoder"](x).float().chunk(2, dim=-1)
                logits = self._image(networks["decoder"](mu + torch.exp(0.5 * logvar) * noise))
                out = {"mu": mu, "logvar": logvar, "logits": logits.flatten(1)}
        np.savez(path, **{name: a.cpu().numpy() for name, a in out.items()})

    def losses(self, steps: int, path: str) -> list[list[float]]:
        raise ValueError("the check takes the bare step: kind `step`")

    def _image(self, out: torch.Tensor) -> torch.Tensor:
        """[N, H, W, C] of what the networks make."""
        if out.ndim == 4:
            out = out.permute(0, 2, 3, 1)
        return out.float().reshape(-1, *self._size)

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """The networks without noise, their weights the averaged ones."""
        source = self._average._source
        now = [t.clone() for t in source]
        for network in self._networks.values():
            network.eval()
        torch._foreach_copy_(source, self._average._mean)
        yield
        torch._foreach_copy_(source, now)
        for network in self._networks.values():
            network.train()


build = Training
