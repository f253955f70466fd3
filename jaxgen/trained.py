"""A run read back from its directory, without its data set: what can be drawn from it."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
from etils import epath

from jaxgen import assemble, run_directory
from jaxgen.checkpoint import Checkpoints
from jaxgen.config import Config
from jaxgen.domains import Raw
from jaxgen.errors import UserError
from jaxgen.latent import circle, numbered_keys, prior
from jaxgen.types import Array, Batch, PyTree

CHUNK = 64  # examples in one pass, always as many: one compile, little memory, and an example's bits don't depend on n

CEILING = 2.0
"""How far above the mean logit of a generator's own texts one passes always. So exp(-2) of them pass, one in seven,
where the critic finds all alike, and more where it does not."""
LEVELLED, LEVEL_SEED = 512, 0
JUDGED = 2048  # texts in one pass at most: `judged` draws the next while others are drawn again


@dataclass(frozen=True, eq=False)
class Trained:
    """A run's config, its game for one device, and a state. What a domain sees of it is `domains.Source`."""

    config: Config
    game: Any
    state: PyTree
    step: int
    notes: list[str] = field(default_factory=list)  # damaged checkpoints that were passed over
    workdir: epath.PathLike = ""
    programs: dict[str, Callable[..., Any]] = field(default_factory=dict)  # what was compiled, see `_compiled`

    @property
    def z_dim(self) -> int:
        return self.game.z_dim

    @property
    def classes(self) -> int:
        """0 where the game has none."""
        return getattr(self.game, "classes", 0)

    def at(self, step: int) -> "Trained":
        """The same run at another step that it keeps, with what is compiled already."""
        return dataclasses.replace(load(self.workdir, step), game=self.game, programs=self.programs)

    def other(self, workdir: str) -> "Trained":
        """Another run that this one's samples need, read from its directory. Raises `UserError` where there is none."""
        return load(os.path.expanduser(workdir))

    def draw(self, n: int, seed: int, label: np.ndarray | None = None, bound: float = 0.0) -> np.ndarray:
        """n model outputs [n, ...] of classes `label` [n], else of all in turn; the first m are the same for every
        n >= m. `bound` truncates the latents, as in `latent.prior`."""
        return self.decode(self.latents(n, seed, bound), label)

    def latents(self, n: int, seed: int, bound: float = 0.0) -> np.ndarray:
        """Those of `draw`: [n, Z]."""
        return np.asarray(prior(numbered_keys(jax.random.key(seed), n), self.z_dim, bound))

    def decode(self, z: np.ndarray, label: np.ndarray | None = None) -> np.ndarray:
        """Model outputs [N, ...] at latents z [N, Z] of classes `label` [N], else of all in turn."""
        return self._in_chunks(self._compiled("decode"), z, label=self._labels(len(z), label))

    def criticise(self, x: np.ndarray, label: np.ndarray | None = None) -> np.ndarray:
        """The critic's logits [N] of x [N, ...], which lie in the range of the model's outputs."""
        return self._in_chunks(self._compiled("criticise"), x, label=self._labels(len(x), label))

    def translate(self, x: np.ndarray, seed: int, back: bool = False, chunk: int = CHUNK) -> np.ndarray:
        """Model outputs [N, ...] for sources x [N, ...] in the range that the step takes, of a game that translates;
        `back`: the other way. Noise, where the game has any, is by the seed and the place in x; each shape of x takes a
        compile. `chunk` of them pass at a time: few of a large picture's tiles."""

        def run(state: PyTree, x: Array, keys: Array) -> Array:
            of = assemble.steps(self.config).translate
            return of(state, x, jax.random.wrap_key_data(keys), self.game, **({"back": True} if back else {}))

        keys = np.asarray(jax.random.key_data(numbered_keys(jax.random.key(seed), len(x))))
        return self._in_chunks(self._compiled("translate back" if back else "translate", run), x, chunk, keys=keys)

    def sources(self, batch: Batch, seed: int) -> np.ndarray:
        """x [N, ...] of a batch of the game: what it brings, or what the game makes of its images."""
        keys = numbered_keys(jax.random.key(seed), len(batch["image"]))
        run = jax.jit(partial(assemble.steps(self.config).sources, game=self.game))
        pieces = [slice(start, start + CHUNK) for start in range(0, len(keys), CHUNK)]
        return np.concatenate([run({name: a[piece] for name, a in batch.items()}, keys[piece]) for piece in pieces])

    def sequences(
        self, n: int, seed: int, given: Mapping[str, np.ndarray] | None = None, temperature: float = 1.0
    ) -> np.ndarray:
        """n sequences [n, ...] of a game of sequences, to go with `given` [n, ...] arrays; the first m are the same for
        every n >= m."""
        return self._drawn("sample", n, seed, given, temperature)

    def judged(
        self, n: int, seed: int, given: Mapping[str, np.ndarray] | None = None, temperature: float = 1.0
    ) -> np.ndarray:
        """As `sequences`, of those texts that the critic lets pass, by `level`."""
        chunk = min(JUDGED, -(-n // CHUNK) * CHUNK)
        return self._drawn("judged", n, seed, given, temperature, chunk, level=self.level)

    def passing(self, tokens: np.ndarray, given: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """The logarithm of the chance [N] with which each text [N, T] passes there."""
        return np.minimum(self._logits(tokens, given) - self.level, 0.0)

    @cached_property
    def level(self) -> float:
        """The critic's logit from which on all texts pass: `CEILING` above the mean of texts as the generator writes
        them, to go with what the run keeps."""
        gen = self.game.gen
        needed = {"label": getattr(gen, "classes", 0), "prompt": getattr(gen, "prompted", False)}
        kept = self.examples() if any(needed.values()) else {}
        some = {name: np.resize(kept[name], (LEVELLED, *kept[name].shape[1:])) for name, on in needed.items() if on}
        return float(self._logits(self.sequences(LEVELLED, LEVEL_SEED, some), some).mean(dtype=np.float64)) + CEILING

    def _logits(self, tokens: np.ndarray, given: Mapping[str, np.ndarray] | None) -> np.ndarray:
        def run(state: PyTree, x: Array, **given: Array) -> Array:
            return assemble.steps(self.config).criticise(state, x, self.game, given or None)

        return self._in_chunks(self._compiled("logits", run), tokens, CHUNK, **(given or {}))

    def _drawn(
        self,
        name: str,
        n: int,
        seed: int,
        given: Mapping[str, np.ndarray] | None,
        temperature: float,
        chunk: int = CHUNK,
        **how: float,
    ) -> np.ndarray:
        """What the game's `sample` or `judged` draws; the numbers that say `how` go with each row, as what is given."""

        def run(state: PyTree, x: Array, temperature: Array, **more: Array) -> Array:
            options = {option: more.pop(option)[0] for option in how}
            function, keys = getattr(assemble.steps(self.config), name), jax.random.wrap_key_data(x)
            return function(state, keys, self.game, given=more or None, temperature=temperature[0], **options)

        keys = np.asarray(jax.random.key_data(numbered_keys(jax.random.key(seed), n)))
        numbers = {
            option: np.full(n, number, np.float32) for option, number in {"temperature": temperature, **how}.items()
        }
        return self._in_chunks(self._compiled(name, run), keys, chunk, **numbers, **(given or {}))

    def encode(self, batch: Mapping[str, Any]) -> np.ndarray:
        """The latents [N, Z] of a batch of passages, of a game that has a latent for each."""
        return np.asarray(self._compiled("encode")(self.state, dict(batch)))

    def log_likelihood(self, batch: Mapping[str, Any], temperature: float = 1.0) -> np.ndarray:
        """log p of each token [N, T] of a batch of texts, in nats; 0 after the end."""

        def run(state: PyTree, x: Array, temperature: Array, **given: Array) -> Array:
            batch = {"tokens": x, **given}
            return assemble.steps(self.config).log_likelihood(state, batch, self.game, temperature[0])

        more = dict(batch)
        x = more.pop("tokens")
        more["temperature"] = np.full(len(x), temperature, np.float32)
        return self._in_chunks(self._compiled("log_likelihood", run), x, **more)

    def bounds(self, batch: Mapping[str, Any], seed: int) -> dict[str, np.ndarray]:
        """What the `bounds` of a game of sequences says of each example of a batch, in nats."""
        return self._of_sequences("bounds", batch, seed)

    def shuffled(self, batch: Mapping[str, Any], seed: int) -> dict[str, np.ndarray]:
        """The same of its `shuffled`."""
        return self._of_sequences("shuffled", batch, seed)

    def _of_sequences(self, name: str, batch: Mapping[str, Any], seed: int) -> dict[str, np.ndarray]:
        run, parts = self._compiled(name), []
        for i, start in enumerate(range(0, len(batch["sequence"]), CHUNK)):
            piece = {k: np.asarray(a[start : start + CHUNK]) for k, a in batch.items()}
            parts.append(run(self.state, piece, jax.random.fold_in(jax.random.key(seed), i)))
        return {k: np.concatenate([np.asarray(part[k]) for part in parts]) for k in parts[0]}

    def kept(self, name: str) -> str:
        """A text file that the run keeps. Raises `UserError` where it is missing."""
        return run_directory.read_kept(self.workdir, name)

    def examples(self) -> Raw:
        """Held-out raw arrays that the run keeps, so that there is something to translate without the data set. Raises
        `UserError` where it has none."""
        return run_directory.read_examples(self.workdir)

    def walk(self, n: int, seed: int, frames: int = 48) -> np.ndarray:
        """Model outputs [frames, n, ...] along n closed walks through latent space."""
        latents = np.asarray(circle(numbered_keys(jax.random.key(seed), n), self.z_dim, frames))
        label = self._labels(n, None)
        out = self.decode(latents.reshape(frames * n, -1), None if label is None else np.tile(label, frames))
        return out.reshape(frames, n, *out.shape[1:])

    def _labels(self, n: int, label: np.ndarray | None) -> np.ndarray | None:
        if not self.classes:
            return None
        return np.arange(n, dtype=np.int32) % self.classes if label is None else np.asarray(label, np.int32)

    def _compiled(self, name: str, run: Callable[..., Any] | None = None) -> Callable[..., Any]:
        """The game's function of that name, or `run` in its place, compiled at most once."""
        if name not in self.programs:
            self.programs[name] = jax.jit(run or partial(getattr(assemble.steps(self.config), name), game=self.game))
        return self.programs[name]

    def _in_chunks(
        self, function: Callable[..., Any], x: np.ndarray, chunk: int = CHUNK, **more: np.ndarray | None
    ) -> np.ndarray:
        """function(state, x, **more), of more what is not None, the last chunk filled up with its first example."""
        given = {"x": x} | {name: a for name, a in more.items() if a is not None}
        parts = []
        for start in range(0, len(x), chunk):
            part = {name: np.asarray(a[start : start + chunk]) for name, a in given.items()}
            rows = len(part["x"])
            part = {name: np.concatenate([a, np.repeat(a[:1], chunk - rows, axis=0)]) for name, a in part.items()}
            out = function(self.state, part.pop("x"), **part)
            parts.append(np.asarray(out)[:rows])
        return np.concatenate(parts)


def load(workdir: epath.PathLike, step: int | None = None) -> Trained:
    """The newest good checkpoint of a run, or that of a step. Raises `UserError` where there is none."""
    config, _ = run_directory.read_config(workdir)
    game, _, _ = assemble.build(assemble.on_one_device(config))
    with Checkpoints(run_directory.checkpoints(workdir)) as checkpoints:
        found = checkpoints.restore(assemble.abstract_state(config, game), step)
    if found is None:
        raise UserError(f"The run at {workdir} has no checkpoint yet. Train it for at least --loop.save-every steps.")
    return Trained(config, game, *found, workdir)
