"""The loop: restore, step, log, save, preview."""

import dataclasses
import typing
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np
from etils import epath

from jaxgen import assemble, parallel, run_directory
from jaxgen.checkpoint import Checkpoints
from jaxgen.config import Config, Loop
from jaxgen.data.fingerprint import fingerprint
from jaxgen.data.order import call_indices
from jaxgen.domains import Domain, Raw, count
from jaxgen.errors import UserError
from jaxgen.report import Report
from jaxgen.stopping import Stop
from jaxgen.trained import Trained
from jaxgen.types import PyTree, Split

RESIDENT_BYTES = 1 << 30  # larger sets stay in the host's memory, and each call's batches are sent to the devices
MAPPED = 512  # held-out examples that previews may show


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a call of `train` came to."""

    step: int
    finished: bool  # False: stopped by a signal, to be resumed
    trained: bool  # False: there was nothing left to do
    checkpoint: epath.Path
    pictures: list[epath.Path]  # the last ones


def train(config: Config, workdir: epath.PathLike, quiet: bool = False) -> Outcome:
    """Starts a run in `workdir`, or goes on with the one there, until `config.loop.steps` or a signal.

    SIGINT or SIGTERM saves after the call under way and returns; a second one ends the process at once. Raises
    `UserError` for all that a user can mend, before anything is compiled where that is possible.
    """
    check_loop(config.loop)
    with (
        run_directory.claim(workdir) as workdir,
        Checkpoints(run_directory.checkpoints(workdir), config.loop.keep) as checkpoints,
        jax.default_matmul_precision(None if config.matmul == "default" else config.matmul),
        Stop() as stop,
    ):
        run = _Run(config, workdir, checkpoints, parallel.layout(config.parallel, config.batch))
        _check_data(run.data, config)
        print_of = fingerprint(run.data)
        _check_processes(workdir, config, print_of)
        if (workdir / "config.json").exists():
            run_directory.check_resumable(workdir, config, print_of)
        state, start, notes = run.first_state()
        run_directory.write_config(workdir, config, data_fingerprint=print_of)
        if not run.from_latents:
            run_directory.write_examples(workdir, run.splits["test"])
        run_directory.write_kept(workdir, run.kept)
        with Report(workdir, max(config.loop.steps, start), start, config.batch, quiet) as report:
            for note in notes:
                report.say(note)
            if 0 < start < config.loop.steps:
                report.say(f"Going on from step {start}.")
            step = _loop(run, state, start, report, stop)
            checkpoints.wait()
        return Outcome(step, step >= config.loop.steps, step > start, checkpoints.path(step), run.pictures_of(step))


def check_loop(loop: Loop) -> None:
    """Raises `UserError` where steps or intervals are no multiples of `steps_per_call`."""
    k = loop.steps_per_call
    for name in ("steps_per_call", "steps", "log_every", "sample_every", "save_every", "keep"):
        value, option = getattr(loop, name), f"--loop.{name.replace('_', '-')}"
        if value < 1:
            raise UserError(f"{option} must be 1 or more, not {value}.")
        if name != "keep" and value % k:
            raise UserError(
                f"{option} {value} is no multiple of the {k} steps in a call; use {option} {-(-value // k) * k}, "
                f"or --loop.steps-per-call with a divisor of {value}."
            )


@dataclasses.dataclass(frozen=True)
class _Run:
    """What stays the same while a run runs."""

    config: Config
    workdir: epath.Path
    checkpoints: Checkpoints
    where: parallel.Layout

    @cached_property
    def game(self) -> Any:
        return assemble.build(self.config).game

    @cached_property
    def domain(self) -> Domain:
        return assemble.domain(self.config)

    @property
    def from_latents(self) -> bool:
        """Whether the game makes all it makes from latents, as images; not of images, nor as sequences."""
        return hasattr(assemble.steps(self.config), "decode")

    @cached_property
    def kept(self) -> Mapping[str, str]:
        """Text files that the run keeps: a vocabulary."""
        return self.domain.kept(self.config) if self.domain.kept else {}

    @cached_property
    def splits(self) -> dict[Split, Raw]:
        """Read together, so that held-out data that can't be read are found before anything is compiled."""
        return {split: self.domain.load(self.config, split) for split in typing.get_args(Split)}

    @property
    def data(self) -> Raw:
        return self.splits["train"]

    @cached_property
    def show(self) -> Callable[[PyTree], dict[str, jax.Array]]:
        """What the game shows of a state on one device, always from the same noise and held-out examples."""
        heldout, batch = self.splits["test"], None
        if count(heldout) >= (32 if self.from_latents else 1):
            batch = dict(self.domain.to_batch({name: jax.numpy.asarray(a[:MAPPED]) for name, a in heldout.items()}))
        key, game = jax.random.key(self.config.seed), self.game_on_one
        return jax.jit(lambda state: assemble.steps(self.config).show(state, key, game, batch))

    @cached_property
    def game_on_one(self) -> Any:
        return assemble.build(assemble.on_one_device(self.config)).game

    def first_state(self) -> tuple[PyTree, int, list[str]]:
        """(state, its step, notes): from the newest good checkpoint, or new."""
        abstract = assemble.abstract_state(self.config, self.game)
        placed = self.where.replicated
        found = self.checkpoints.restore(
            jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=placed), abstract)
        )
        if not parallel.same(found[1] if found else 0):
            raise UserError(f"The processes found different checkpoints in {self.workdir}. Start them again.")
        if found:
            self.checkpoints.set_aside(self.checkpoints.bad)
            return found
        return parallel.replicate(assemble.new_state(self.config, self.game), self.where), 0, []

    def write_pictures(self, state: PyTree, step: int) -> None:
        """What the game shows; of the last step a walk through latent space too."""
        state = parallel.local(state)
        shown = {name: np.asarray(a) for name, a in self.show(state).items()}
        if step == self.config.loop.steps and self.from_latents and self.domain.walks:
            shown["walk"] = Trained(self.config, self.game_on_one, state, step).walk(n=16, seed=self.config.seed)
        stem = run_directory.samples(self.workdir) / str(step)
        self.domain.write(shown, stem, **({"kept": self.kept} if self.kept else {}))

    def pictures_of(self, step: int) -> list[epath.Path]:
        folder = run_directory.samples(self.workdir)
        return sorted(folder.glob(f"{step}[.-]*")) if folder.exists() else []


def _loop(run: _Run, state: PyTree, step: int, report: Report, stop: Stop) -> int:
    """Steps until the end or a signal; returns the step it came to, which is saved."""
    loop, first = run.config.loop, jax.process_index() == 0
    if step >= loop.steps:
        return step
    resident, fetch, feed = _feeding(run)
    play = partial(assemble.steps(run.config).train_step, game=run.game)
    calls: dict[int, Callable[..., tuple[PyTree, PyTree]]] = {}
    pending: tuple[int, PyTree] | None = None
    while step < loop.steps and not _leaving(stop, step, loop):
        # Calls end at multiples of K, also after a stop under another K.
        k = min(loop.steps_per_call - step % loop.steps_per_call, loop.steps - step)
        batches = feed(step, k)
        if k not in calls:
            calls[k] = parallel.compile_call(play, fetch, run.where, state, resident, batches)
        state, metrics = calls[k](state, resident, batches)
        parallel.settle(state)
        # Only now look at the call before, which is done or nearly so: the devices have their next work already.
        if pending:
            _checked(run, *pending)
        pending, step = (step, metrics), step + k
        report.advance(k)
        last = step >= loop.steps
        if step % loop.log_every == 0 or last:
            report.log(step, {name: _summary(name, v) for name, v in _checked(run, *pending).items()})
        if step % loop.save_every == 0 or last:
            _save(run, step, state, pending)
        if first and (step % loop.sample_every == 0 or last):
            run.write_pictures(state, step)
    if step < loop.steps:
        _save(run, step, state, pending)
        report.say(f"Stopped by a signal at step {step}, which is saved. The same command goes on from there.")
    return step


def _leaving(stop: Stop, step: int, loop: Loop) -> bool:
    """Whether all processes leave here; asking the others has a cost, so only where metrics are read anyway."""
    if jax.process_count() == 1:
        return stop.asked
    return step % loop.log_every == 0 and parallel.agree(stop.asked)


def _save(run: _Run, step: int, state: PyTree, pending: tuple[int, PyTree] | None) -> None:
    """Starts to save, if all losses up to here were finite."""
    if pending:
        _checked(run, *pending)
        run.checkpoints.save(step, state)


def _summary(name: str, values: np.ndarray) -> float:
    """Of the [K] values of a call: the mean over its steps, or where a count has come to."""
    return float(values[-1] if name == "skipped" else values.mean(dtype=np.float64))


def _checked(run: _Run, start: int, metrics: PyTree) -> dict[str, np.ndarray]:
    """The metrics [K] of the call that began at a step. Raises `UserError` naming the step where one is not finite."""
    values = {name: np.asarray(v) for name, v in jax.device_get(metrics).items()}
    if run.config.loop.nonfinite == "skip":
        return values
    for name, v in values.items():
        if not np.isfinite(v).all():
            run.checkpoints.wait()
            good = run.checkpoints.steps()
            raise UserError(
                f"{name} is not finite at step {start + int(np.argmin(np.isfinite(v)))}; "
                + (f"the last good checkpoint is {run.checkpoints.path(good[-1])}. " if good else "nothing was saved. ")
                + "Lower the learning rate, or leave such steps out with --loop.nonfinite skip."
            )
    return values


def _feeding(run: _Run) -> tuple[PyTree, Callable[[PyTree, PyTree], PyTree], Callable[[int, int], PyTree]]:
    """(resident, fetch, feed): what lies on the devices, how a step draws its batch, and what each call is sent."""
    config, data, where, to_batch = run.config, run.data, run.where, run.domain.to_batch

    def indices(step: int, k: int) -> np.ndarray:
        return call_indices(config.seed, step, k, count(data), config.batch)

    if sum(a.nbytes for a in data.values()) <= RESIDENT_BYTES:
        return (
            parallel.replicate(dict(data), where),
            lambda resident, one: to_batch({name: a[one] for name, a in resident.items()}),
            lambda step, k: parallel.split(indices(step, k), where),
        )

    def feed(step: int, k: int) -> PyTree:
        chosen = indices(step, k)
        return parallel.split({name: a[chosen] for name, a in data.items()}, where)

    return {}, lambda _, one: to_batch(one), feed


def _check_processes(workdir: epath.Path, config: Config, print_of: str) -> None:
    """Raises `UserError`, in all processes of a run, where they are not at the same work in the same place."""
    if jax.process_count() > 1 and config.parallel == "single":
        raise UserError("A run of several processes needs --parallel pmap or --parallel jit.")
    if not parallel.same(dataclasses.replace(config, data_dir="", download=False), print_of):
        raise UserError("The processes of this run were started with different options or data; give all the same.")
    # Process 0 had signed the directory before it asked the others.
    if not parallel.same(run_directory.holder(workdir)):
        raise UserError(
            f"{workdir} is not the same directory for all processes of this run. Use a --workdir on a disk that all "
            "hosts share, or gs://."
        )


def _check_data(data: Raw, config: Config) -> None:
    n = count(data)
    if n < config.batch:
        raise UserError(f"The data have {n} training examples, fewer than a batch of {config.batch}; use --batch {n}.")
    classes = getattr(config.game, "classes", 0)
    if classes and "label" not in data:
        raise UserError("The game is conditional, but the data have no labels; use --game.classes 0.")
    if classes and int(data["label"].max()) >= classes:
        raise UserError(f"The data have labels up to {data['label'].max()}, the game has {classes} classes.")
