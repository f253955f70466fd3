"""Images made on the spot, of the same shapes and types as real ones: for tests and benchmarks."""

import numpy as np


def images(shape: tuple[int, int, int], n: int, classes: int = 10, seed: int = 0) -> dict[str, np.ndarray]:
    """{"image": uint8 [n, *shape], "label": int32 [n]}: a bright blob on dark noise, a blob's place set by its class.

    The centres of the classes lie on a ring around the middle; each image moves its blob a little and has its own
    brightness, so that there is something to learn and no two images are alike. Labels go 0, 1, ..., 0, 1, ...
    """
    height, width, channels = shape
    rng = np.random.default_rng(seed)
    label = (np.arange(n) % classes).astype(np.int32)
    angle = 2 * np.pi * label / classes
    y = height * (0.5 + 0.3 * np.sin(angle)) + rng.normal(0, 0.03 * height, n)
    x = width * (0.5 + 0.3 * np.cos(angle)) + rng.normal(0, 0.03 * width, n)
    rows = np.exp(-(((np.arange(height) + 0.5 - y[:, None]) / (0.15 * height)) ** 2))  # [n, H]
    cols = np.exp(-(((np.arange(width) + 0.5 - x[:, None]) / (0.15 * width)) ** 2))  # [n, W]
    colour = rng.uniform(120, 220, (n, channels))
    out = np.einsum("nh,nw,nc->nhwc", rows, cols, colour)
    out += rng.uniform(0, 30, out.shape)
    return {"image": out.astype(np.uint8), "label": label}
