"""Samples of a run, written to a file, from its directory alone."""

import io

import numpy as np
from etils import epath

from jaxgen import assemble, run_directory
from jaxgen.errors import UserError
from jaxgen.trained import draw, load, walk


def sample(workdir: epath.PathLike, num: int = 64, seed: int = 0, out: epath.PathLike | None = None) -> epath.Path:
    """Writes `num` samples of the averaged networks; returns the path. The same seed gives the same file.

    By the ending of `out`: .png a grid, .gif closed walks through latent space (`num` of them), .npz the array `image`.
    Without `out`: `samples/seed-<seed>.png` in the run. Raises `UserError`.
    """
    if num < 1:
        raise UserError(f"--num must be 1 or more, not {num}.")
    run = load(workdir)
    path = epath.Path(out) if out is not None else run_directory.samples(workdir) / f"seed-{seed}.png"
    domain = assemble.domain(run.config)
    if path.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez_compressed(buffer, image=domain.to_raw(draw(run, num, seed)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
    elif path.suffix == ".gif":
        domain.write({"walk": walk(run, num, seed)}, path.with_suffix(""))
    elif path.suffix == ".png":
        domain.write({"samples": draw(run, num, seed)}, path.with_suffix(""))
    else:
        raise UserError(f"--out {path} must end in .png (a grid), .gif (a walk) or .npz (arrays).")
    return path
