"""Samples of a run, written to files, from its directory alone."""

import csv
import dataclasses
import io
import os

import numpy as np
from etils import epath

from jaxgen import assemble, preview, run_directory
from jaxgen.domains import Domain, LatentOptions, SampleOptions
from jaxgen.errors import UserError
from jaxgen.latent import line
from jaxgen.trained import Trained, load

ROW = 8  # samples in a row of an interpolation


def sample(workdir: epath.PathLike, options: SampleOptions | None = None) -> list[epath.Path]:
    """Writes what the `options` ask for, which are of the type that the run's domain has; returns the paths.

    The same seed gives the same files. By the ending of `out`: .png a grid, .gif closed walks through latent space,
    .npz the array `image` and, of a conditional game, `label`; without an ending a folder of PNG files, in a sub-folder
    for each class, with `labels.csv`. Without `out`: `samples/seed-<seed>.png` in the run. Raises `UserError`.
    """
    config, _ = run_directory.read_config(workdir)
    domain = assemble.domain(config)
    options = options or domain.options()
    if options.num < 1:
        raise UserError(f"--num must be 1 or more, not {options.num}.")
    if isinstance(options, LatentOptions) and options.truncation < 0:
        raise UserError(f"--truncation must be 0 or more standard deviations, not {options.truncation}.")
    options = dataclasses.replace(options, out=os.path.expanduser(options.out))
    folder = run_directory.samples(workdir)
    if domain.sample:
        return domain.sample(load(workdir), options, folder)
    assert isinstance(options, LatentOptions)  # what a domain without a `sample` of its own has
    path = epath.Path(options.out or folder / f"seed-{options.seed}.png")
    if path.suffix not in (".png", ".gif", ".npz", ""):
        raise UserError(f"--out {path} must end in .png (a grid), .gif (a walk) or .npz (arrays), or be a folder.")
    return _pictures(load(workdir), domain, options, path)


def balanced(n: int, classes: int, balance: tuple[float, ...]) -> np.ndarray | None:
    """Classes [n] int32 in the shares of `balance`, which need not sum to 1, in turn where there is none; of a game
    without classes nothing. Raises `UserError` where the shares do not fit the classes.
    """
    if not classes:
        if balance:
            raise UserError("The run has no classes to balance; leave out --balance.")
        return None
    if not balance:
        return np.arange(n, dtype=np.int32) % classes
    if len(balance) != classes or min(balance) < 0 or not sum(balance) > 0:
        raise UserError(f"--balance needs {classes} shares, none below 0 and one above; got {balance}.")
    # Largest remainders: n labels in all, each class within one of its share.
    exact = n * np.asarray(balance, np.float64) / sum(balance)
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: n - counts.sum()]] += 1
    return np.repeat(np.arange(classes, dtype=np.int32), counts)


def _pictures(run: Trained, domain: Domain, options: LatentOptions, path: epath.Path) -> list[epath.Path]:
    if path.suffix == ".gif":
        return domain.write({"walk": run.walk(options.num, options.seed)}, path.with_suffix(""))
    label = balanced(options.num, run.classes, options.balance)
    if not path.suffix:
        preview.new_folder(path)  # refused before anything is computed
    if options.interpolate:
        z, label = _lines(run, options), None if label is None else np.repeat(label, ROW)
    else:
        z = run.latents(options.num, options.seed, options.truncation)
    outputs = run.decode(z, label)
    if path.suffix == ".png":
        return domain.write({"interpolations" if options.interpolate else "samples": outputs}, path.with_suffix(""))
    images = domain.to_raw(outputs)
    if path.suffix == ".npz":
        return [preview.write_npz(path, image=images, **({} if label is None else {"label": label}))]
    return _folder(images, label, path)


def _lines(run: Trained, options: LatentOptions) -> np.ndarray:
    """Latents [num * 8, Z]: rows of eight."""
    ends = run.latents(2 * options.num, options.seed, options.truncation)
    return np.asarray(line(ends[::2], ends[1::2], ROW)).reshape(options.num * ROW, -1)


def _folder(images: np.ndarray, label: np.ndarray | None, path: epath.Path) -> list[epath.Path]:
    """PNG files that `--data` reads again, and a table of them."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["file", "label"] if label is not None else ["file"])
    for i, image in enumerate(images):
        name = f"{i:06}.png" if label is None else f"{label[i]}/{i:06}.png"
        preview.write_png(path / name, image)
        rows.writerow([name] if label is None else [name, label[i]])
    (path / "labels.csv").write_text(table.getvalue())
    return [path]
