"""Does a picture show what its map says? A small network, trained on real pictures, reads the map from made ones."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxgen.errors import UserError, needed

_HIDDEN = (128,)
_EPOCHS = 12


@dataclass(frozen=True, eq=False)
class Segmenter:
    """Reads each cell of a picture from its own pixels, and from the colours of the whole, since light differs."""

    network: Any
    cell: int
    hash: str  # sha256 of the parameters
    heldout_miou: float  # on real held-out pictures

    def read(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, H, W, C] -> kinds [N, H / cell, W / cell], integers."""
        cells = _cells(images, self.cell)
        return self.network.predict(cells.reshape(-1, cells.shape[-1])).reshape(cells.shape[:3])


def segmenter(
    images: np.ndarray,
    maps: np.ndarray,
    heldout_images: np.ndarray,
    heldout_maps: np.ndarray,
    kinds: int,
    seed: int = 0,
) -> Segmenter:
    """Trained on uint8 `images` [N, H, W, C] and their `maps` [N, h, w] of kinds below `kinds`: some 30 seconds.

    The same data and seed give the same network. Raises `UserError` where pictures and maps don't fit, or scikit-learn
    is missing.
    """
    with needed("scikit-learn", "reading maps from scenes", "data"):
        from sklearn.neural_network import MLPClassifier
    cell = images.shape[1] // maps.shape[1]
    if images.shape[1:3] != (cell * maps.shape[1], cell * maps.shape[2]) or len(images) != len(maps):
        raise UserError(f"Pictures {images.shape} and maps {maps.shape} don't fit; a cell is a square of pixels.")
    options: dict[str, Any] = {"batch_size": 1024, "learning_rate_init": 2e-3, "random_state": seed}
    network = MLPClassifier(_HIDDEN, **options)
    cells = _cells(images, cell)
    flat, label = cells.reshape(-1, cells.shape[-1]), maps.ravel()
    rng = np.random.default_rng(seed)
    for _ in range(_EPOCHS):
        order = rng.permutation(len(flat))
        network.partial_fit(flat[order], label[order], classes=np.arange(kinds))
    arrays = (*network.coefs_, *network.intercepts_)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays))
    made = Segmenter(network, cell, digest.hexdigest(), 0.0)
    return Segmenter(network, cell, made.hash, mean_iou(made.read(heldout_images), heldout_maps, kinds))


def mean_iou(read: np.ndarray, maps: np.ndarray, kinds: int) -> float:
    """Mean over the kinds that occur of intersection over union, of all cells together."""
    both, right = np.stack([read.ravel(), maps.ravel()]), (read == maps).ravel()
    counts = [np.bincount(one, minlength=kinds) for one in both]
    hits = np.bincount(maps.ravel()[right], minlength=kinds)
    union = counts[0] + counts[1] - hits
    return float((hits[union > 0] / union[union > 0]).mean())


def diversity(images: np.ndarray, groups: np.ndarray) -> float:
    """Mean absolute difference, of 255 grey levels, between two pictures [N, H, W, C] of one group [N]."""
    found = []
    for group in np.unique(groups):
        some = images[groups == group].astype(np.float32)
        first, second = np.triu_indices(len(some), 1)
        found += [np.abs(some[a] - some[b]).mean() for a, b in zip(first, second, strict=True)]
    return float(np.mean(found)) if found else 0.0


def _cells(images: np.ndarray, cell: int) -> np.ndarray:
    """uint8 [N, H, W, C] -> float32 [N, h, w, F]: the pixels of each cell, and mean and deviation of the picture."""
    n, height, width, channels = images.shape
    x = images.astype(np.float32) / 127.5 - 1
    cells = x.reshape(n, height // cell, cell, width // cell, cell, channels).swapaxes(2, 3)
    cells = cells.reshape(*cells.shape[:3], -1)
    whole = np.concatenate([x.mean((1, 2)), x.std((1, 2))], axis=-1)[:, None, None]
    return np.concatenate([cells, np.broadcast_to(whole, (*cells.shape[:3], whole.shape[-1]))], axis=-1)
