"""The synthetic oracle of texts: an LSTM with random weights, whose own texts are the data (Yu et al. 2017, 5.1).

It knows the likelihood of whatever a generator writes. It is a `models.tokens.Generator` whose texts do not end.
"""

import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen.errors import UserError
from jaxgen.models.tokens import Generator
from jaxgen.types import Array, PyTree

LENGTH = 20
WIDTH = 32
TEXTS = 9_984
"""How many texts a likelihood is the mean of."""
BLOCK = 64
"""Texts at a time: their logits stay in the cache."""


class Oracle(NamedTuple):
    """A `Generator`'s parameters."""

    params: PyTree


def load(path: Path) -> Oracle:
    """The released oracle (5,000 tokens) from `target_params.npz`, 15 arrays p00 ... p14: the embedding; W, U and b of
    the input, forget and output gates and of the candidate; W and b of the output. Raises `UserError` where they are
    not there."""
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            arrays = [file[f"p{i:02}"] for i in range(15)]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not the oracle of the SeqGAN repository, 15 arrays p00 to p14: {error}") from None
    return from_arrays(arrays)


def random(vocabulary: int, seed: int) -> Oracle:
    """Every parameter drawn from a standard normal."""
    rng = np.random.default_rng(seed)
    gate = ((WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH,))
    shapes = [(vocabulary, WIDTH), *gate, *gate, *gate, *gate, (WIDTH, vocabulary), (vocabulary,)]
    return from_arrays([rng.standard_normal(shape, np.float32) for shape in shapes])


def from_arrays(arrays: list[np.ndarray]) -> Oracle:
    """The 15 arrays, in the order of `load`."""
    embed, *gates, kernel, bias = arrays
    cell = {name: np.concatenate(gates[i::3], axis=-1) for i, name in enumerate(("kernel", "recurrent", "bias"))}
    params = {"embed": embed, "cell": cell, "kernel": kernel, "bias": bias}
    return Oracle(jax.tree.map(jnp.asarray, params))


def named(oracle: Oracle) -> dict[str, np.ndarray]:
    """Its parameters by path: `gen/cell/kernel`."""
    leaves, _ = jax.tree.flatten_with_path(oracle.params)
    return {"/".join(["gen", *(k.key for k in path)]): np.asarray(leaf) for path, leaf in leaves}


def generator(oracle: Oracle) -> Generator:
    """The module whose parameters they are."""
    return Generator(*oracle.params["embed"].shape, width=len(oracle.params["kernel"]), ends=False)


@partial(jax.jit, static_argnames="length")
def sample(oracle: Oracle, keys: Array, length: int = LENGTH) -> Array:
    """Texts [N, length] int32, one for each key [N]."""
    method = partial(generator(oracle).apply, {"params": oracle.params}, length=length, method="sample")
    return _in_blocks(method, keys)


@jax.jit
def nll(oracle: Oracle, tokens: Array) -> Array:
    """Of texts [N, T]: the mean over a text's tokens of -log p, in nats [N]."""
    logits_of: Callable[..., Any] = partial(generator(oracle).apply, {"params": oracle.params}, train=False)

    def of_block(tokens: Array) -> Array:
        logits: Any = logits_of(tokens)
        return optax.softmax_cross_entropy_with_integer_labels(logits, tokens).mean(1)

    return _in_blocks(of_block, tokens)


def _in_blocks(function: Callable[[Array], Any], rows: Array) -> Array:
    """`function(rows)` of some rows after the others; the last block is filled up with rows that were there before."""
    n = len(rows)
    blocks = -(-n // BLOCK)
    filled = rows[jnp.arange(blocks * BLOCK) % n]
    out = jax.lax.map(function, filled.reshape(blocks, BLOCK, *rows.shape[1:]))
    return out.reshape(-1, *out.shape[2:])[:n]
