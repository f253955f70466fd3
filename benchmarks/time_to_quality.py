"""How long until training has reached a quality, ours and a peer's.

Both sides train from the same weights, on the same batches, by the same rules; noise, dropout and binarised pixels are
each library's own. They train in turns of some steps, and between the turns, untimed, say what their averaged weights
make: the time is that of all steps up to the first turn after which the rule holds. The quality is computed here, of
both by the same code. Several seeds, one after the other, since one run is noise; never two sides at once.

A case's options: `metric`, one of `METRICS`; `bar`, for each of its numbers the least (`low`) or the most (`high`) that
will do; `turn`, steps between two looks; `limit`, steps after which a run is given up; `seeds`, how many.

Compilation is told apart from training, and `seconds_with_compile` has both. All compile anew in every run: neither
library may keep its programs.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from flax.traverse_util import flatten_dict

from benchmarks import measure as timing
from benchmarks import suites
from benchmarks.gates.image_vae import binarised
from benchmarks.peers import Peer
from benchmarks.suites import Case
from benchmarks.worker import SHARED, Command, Worker
from jaxgen import assemble
from jaxgen.config import Config, Variational
from jaxgen.data.cache import cache_dir
from jaxgen.metrics import sample_quality

Arrays = Mapping[str, np.ndarray]
Values = dict[str, float]
Judge = Callable[[Arrays], Values]
"""What was drawn -> its metrics."""

SAMPLES = 2000
NOISE_SEED = 0  # of the latents, the same for all
COLD = {"JAX_ENABLE_COMPILATION_CACHE": "false", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}
CHOICE_SECONDS = 1.0  # of a turn in which a peer's variants are compared


class Trainee(Protocol):
    """What `reach` needs: a worker, or a test's stand-in for one. Two units of steps are taken when it is there."""

    compile_s: float
    step_s: float
    unit: int

    def turn(self, steps: int) -> float:
        """Seconds per step."""
        ...

    def draw(self, path: str) -> None: ...


def measure(case: Case, peers: Sequence[Peer], device: str) -> dict[str, Any]:
    """A row, less what is the same for the whole run: see `row`."""
    os.environ.update(SHARED)  # on a card, which the judge shares with the workers
    options, sides = case.options, {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        judge = METRICS[options["metric"]](_seeded(case, 0))
        files = [_write(path / f"given-{seed}.npz", _seeded(case, seed)) for seed in range(options["seeds"])]
        commands = {"ours": _cold(suites.ours(sys.executable))}
        chosen: dict[str, dict[str, Any]] = {}
        for peer in peers:
            if names := peer.variants(case, device):
                commands[peer.name] = command = _cold(peer.command())
                chosen[peer.name] = _fastest(command, {n: _job(case, 0, files[0]) | {"variant": n} for n in names})
        for seed, file in enumerate(files):
            for name, command in commands.items():
                side = sides.setdefault(name, chosen.get(name, {}) | {"runs": []})
                variant = {"variant": side["variant"]} if "variant" in side else {}
                with Worker(command, _job(case, seed, file) | variant) as worker:
                    run = reach(worker, judge, options, path / "drawn.npz")
                    side["runs"].append({"seed": seed} | run)
                    side |= worker.facts
    return row(case, sides)


def row(case: Case, sides: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Of the `runs` of each side, "ours" among them, the row: medians over seeds, null where a run did not reach the
    bar. `ratio_to_<peer>`: its median seconds over ours (above 1: ours is there sooner)."""
    ours, against = sides["ours"], {name: dict(side) for name, side in sides.items() if name != "ours"}
    found = {
        "name": case.name,
        "measures": "time_to_quality",
        "batch": case.batch,
        "metric": said(case.options),
        "bar": case.options["bar"],
        "seed": [run["seed"] for run in ours["runs"]],
        **ours,
        **_summary(ours["runs"]),
        "against": {name: {**side, **_summary(side["runs"])} for name, side in against.items()},
    }
    for name, theirs in found["against"].items():
        both = found["reached"] and theirs["reached"]
        found[f"ratio_to_{name}"] = theirs["seconds"] / found["seconds"] if both else None
    return found


def reach(worker: Trainee, judge: Judge, options: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """One run: `seconds` of training and `steps` until the bar is `reached` or the limit is, `compile_s`, and the
    `curve` of what the judge said after each turn.

    The warm-up's two units count as training, at what the second took; the first is longer by the compilation.
    """
    steps = 2 * worker.unit
    seconds, curve, reached = steps * worker.step_s, [], False
    while not reached and steps < options["limit"]:
        more = options["turn"] - steps % options["turn"]
        seconds += more * worker.turn(more)
        steps += more
        worker.draw(str(path))
        with np.load(path) as drawn:
            values = judge(dict(drawn))
        reached = holds(values, options["bar"])
        plain = {name: value if np.isfinite(value) else None for name, value in values.items()}  # JSON has no NaN
        curve.append({"step": steps, "seconds": seconds, **plain})
    return {"seconds": seconds, "steps": steps, "reached": reached, "compile_s": worker.compile_s, "curve": curve}


def holds(values: Mapping[str, float], bar: Mapping[str, Mapping[str, float]]) -> bool:
    """False where a number is none."""
    return all(b.get("low", -np.inf) <= values[name] <= b.get("high", np.inf) for name, b in bar.items())


def said(options: Mapping[str, Any]) -> str:
    """The rule in words."""
    signs = {"low": ">=", "high": "<="}
    parts = [f"{name} {signs[end]} {of}" for name, b in options["bar"].items() for end, of in b.items()]
    return f"{', '.join(parts)} ({(METRICS[options['metric']].__doc__ or '').splitlines()[0]})"


def line(row: Mapping[str, Any] | None) -> str:
    """One line of the table; its head where there is no row."""
    if row is None:
        head = f"{'time to quality':28}{'batch':>6}{'seeds':>6}{'reached':>8}{'s':>9}{'steps':>8}{'compile s':>11}"
        return f"{head}   ratio (above 1: ours is there sooner)"
    runs = row["runs"]
    ratios = [
        f"{_number(row[f'ratio_to_{name}'], '.2f')} to {name} {theirs['variant']} "
        f"({_number(theirs['seconds'], '.1f')} s, {_number(theirs['steps'], '.0f')} steps, "
        f"compile {theirs['compile_s']:.1f} s)"
        for name, theirs in row["against"].items()
    ]
    return (
        f"{row['name']:28}{row['batch']:6}{len(runs):6}{sum(run['reached'] for run in runs):8}"
        f"{_number(row['seconds'], '.1f'):>9}{_number(row['steps'], '.0f'):>8}{row['compile_s']:11.1f}"
        f"   {', '.join(ratios)}"
    )


def _number(value: float | None, how: str) -> str:
    return "-" if value is None else format(value, how)


def _summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    reached = all(run["reached"] for run in runs)
    whole = [run["seconds"] + run["compile_s"] for run in runs]
    median = statistics.median
    return {
        "reached": reached,
        "seconds": median(run["seconds"] for run in runs) if reached else None,
        "seconds_with_compile": median(whole) if reached else None,
        "steps": median(run["steps"] for run in runs) if reached else None,
        "compile_s": median(run["compile_s"] for run in runs),
        "curve": runs[0]["curve"],
    }


def _cold(command: Command) -> Command:
    return replace(command, env={**command.env, **COLD})


def _fastest(command: Command, jobs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The `variant` whose steps are the fastest, the `variants`' ms, and those that `failed` to start."""
    with ExitStack() as stack:
        workers, failed = {}, {}
        for name, job in jobs.items():
            try:
                workers[name] = stack.enter_context(Worker(command, dict(job)))
            except RuntimeError as error:
                failed[name] = str(error)
        if not workers:
            raise RuntimeError("\n".join(failed.values()))
        best, times = timing.fastest(workers, CHOICE_SECONDS)
    return {"variant": best, "variants": times, "failed": failed}


def _seeded(case: Case, seed: int) -> Config:
    assert case.config
    return replace(case.config, seed=seed)


def _job(case: Case, seed: int, file: str) -> dict[str, Any]:
    return replace(case, config=_seeded(case, seed), options={**case.options, "data": file}).job()


def _write(path: Path, config: Config) -> str:
    """What both sides train on and draw from: images, our first weights by name, noise; of a VAE also the held-out
    images, their pixels drawn once."""
    load, game = assemble.domain(config).load, assemble.build(replace(config, parallel="single")).game
    state, rng = assemble.new_state(config, game), np.random.default_rng(NOISE_SEED)
    given: dict[str, Any] = {"image": load(config, "train")["image"]}
    if isinstance(config.game, Variational):
        params, given["x"] = state.vae.params, binarised(load(config, "test")["image"]).astype(np.uint8)
    else:
        params = {"gen": state.gen.params, "disc": state.disc.params}
    n = len(given["x"]) if "x" in given else SAMPLES
    given["noise"] = rng.standard_normal((n, game.z_dim), np.float32)
    given |= flatten_dict(params, sep="/")
    np.savez(path, **given)
    return str(path)


def sample_metrics(config: Config) -> Judge:
    """of 2,000 samples next to the held-out digits, by a classifier trained on real digits"""
    of, folder = assemble.domain(config), cache_dir(config.data_dir) / "classifiers"
    real = sample_quality.reference(of.load(config, "train"), of.load(config, "test"), folder)

    def judge(drawn: Arrays) -> Values:
        samples = drawn["samples"]
        if not np.isfinite(samples).all():
            return dict.fromkeys(NUMBERS, float("nan"))
        found = sample_quality.compare(of.to_raw(samples), real)
        return {name: float(found[name]) for name in NUMBERS}

    return judge


def negative_elbo(config: Config) -> Judge:
    """nats a digit, the mean over the held-out ones binarised once, a latent each"""
    x = binarised(assemble.domain(config).load(config, "test")["image"])
    return lambda drawn: {"negative_elbo": negative_bound(x, **drawn)}


def negative_bound(x: np.ndarray, mu: np.ndarray, logvar: np.ndarray, logits: np.ndarray) -> float:
    """Nats, the mean over x [N, D] of 0 and 1: its negative log likelihood under Bernoullis of those logits [N, D], and
    the KL divergence of N(mu, exp(logvar)) [N, Z] from the standard normal."""
    mu, logvar, logits = (a.astype(np.float64) for a in (mu, logvar, logits))
    nll = (np.logaddexp(0, logits) - x * logits).sum(1)
    kl = 0.5 * (np.exp(logvar) + mu**2 - 1 - logvar).sum(1)
    return float((nll + kl).mean())


NUMBERS = ("classes_present", "class_tv", "coverage")
METRICS: dict[str, Callable[[Config], Judge]] = {f.__name__: f for f in (sample_metrics, negative_elbo)}
"""By name; their docstrings go into the rows."""
