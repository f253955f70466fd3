"""Latent search: the latent whose sample comes closest to what is asked for, by CMA-ES (Hansen & Ostermeier 2001).

As Volz et al. 2018 search for Mario levels. Any model that decodes latents, any number that can be made small.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxgen.errors import needed


class Found(NamedTuple):
    """The best latent [Z], its sample and value, and how many samples were looked at."""

    z: np.ndarray
    sample: np.ndarray
    value: float
    evaluations: int


def minimise(
    decode: Callable[[np.ndarray], np.ndarray],
    value: Callable[[np.ndarray], float],
    start: np.ndarray,
    budget: int,
    seed: int,
    population: int = 32,
    enough: float = 0.0,
    spread: float = 0.3,
) -> Found:
    """From the latent `start` [Z]: `decode` [P, Z] -> samples [P, ...], `value` of one sample, smaller is better.

    Stops at a value of `enough` or less, or after `budget` samples, the start's own included. `spread` is the standard
    deviation of the first steps, small beside the prior's 1: samples stay like the one at the start. Deterministic.
    Raises `UserError` where the package cmaes is missing.
    """
    with needed("cmaes", "a search in latent space", "games"):
        from cmaes import CMA
    start = np.asarray(start, np.float64)
    sample = decode(start[None].astype(np.float32))[0]
    best = Found(start, sample, value(sample), 1)
    search = CMA(mean=start, sigma=spread, seed=seed, population_size=population)
    while best.value > enough and best.evaluations + population <= budget and not search.should_stop():
        latents = np.stack([search.ask() for _ in range(population)])
        samples = decode(latents.astype(np.float32))
        values = [value(sample) for sample in samples]
        search.tell(list(zip(latents, values, strict=True)))
        i = int(np.argmin(values))
        best = best._replace(evaluations=best.evaluations + population)
        if values[i] < best.value:
            best = Found(latents[i], samples[i], values[i], best.evaluations)
    return best
