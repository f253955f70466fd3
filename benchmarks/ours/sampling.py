"""The text oracle draws texts and scores them. Options `vocabulary` and `batch`: how many texts a step."""

from typing import Any

import jax
import numpy as np

from benchmarks import oracle
from benchmarks.ours.cost import peak_memory
from benchmarks.ours.system import facts
from benchmarks.protocol import Job

CHECKED = 8
"""Texts of a step that a check compares."""


class Sampling:
    """A step is `batch` texts, and the likelihood of each."""

    unit = 1

    def __init__(self, job: Job):
        self.facts = facts() | {"items": "texts"}
        self._oracle = oracle.random(job["options"]["vocabulary"], seed=0)
        self._batch, self._done = job["options"]["batch"], 0

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._step()

    def costs(self) -> dict[str, Any]:
        return {"flops_per_step": None} | peak_memory()

    def losses(self, steps: int, path: str) -> list[list[float]]:
        """Of each step's first texts, the negative log likelihood. Writes the oracle's arrays and the texts."""
        made = [self._step() for _ in range(steps)]
        given: dict[str, Any] = dict(oracle.named(self._oracle))
        np.savez(path, tokens=np.stack([tokens for tokens, _ in made]), **given)
        return [nll[:CHECKED].tolist() for _, nll in made]

    def _step(self) -> tuple[np.ndarray, np.ndarray]:
        keys = jax.random.split(jax.random.key(self._done), self._batch)
        self._done += 1
        tokens = oracle.sample(self._oracle, keys)
        return np.asarray(tokens), np.asarray(oracle.nll(self._oracle, tokens))


build = Sampling
