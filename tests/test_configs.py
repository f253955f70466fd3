"""Every config file: it builds, takes steps when shrunk, and at full size lowers for the accelerators."""

import ast
import dataclasses
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import assemble
from jaxgen.checkpoint import Checkpoints
from jaxgen.config import (
    AdversarialSequence,
    Clip,
    Config,
    PassageVAE,
    Recurrent,
    Residual,
    SliceVAE,
    Spectrogram,
    UNet,
    Vocoder,
    Wave,
    from_dict,
    to_dict,
)
from jaxgen.data import synthetic
from jaxgen.train import check_loop

FILES = assemble.configs()


@pytest.fixture(params=FILES)
def config(request) -> Config:
    return assemble.on_one_device(assemble.config_named(request.param)[1])


def shrunk(config):
    """The same networks with a few channels, and small batches."""
    sizes = {}
    for f in dataclasses.fields(config.model):
        value = getattr(config.model, f.name)
        if f.name == "blocks":
            sizes[f.name] = tuple(min(n, 1) for n in value) if isinstance(value, tuple) else min(value, 1)
        elif isinstance(value, tuple):
            sizes[f.name] = tuple(min(size, 8) for size in value)
        elif f.name in ("z_dim", "width", "hidden", "encoder", "decoder", "conductor", "embedding", "critic_embedding"):
            sizes[f.name] = min(value, 8)
    shape = config.shape
    if isinstance(config.model, Residual | Spectrogram) and (extra := len(config.model.gen) - 3) > 0:
        # Three resolutions will do: each costs seconds to compile.
        sizes |= {name: sizes[name][extra:] for name in ("gen", "disc")}
        shape = (shape[0] >> extra, shape[1] >> extra, shape[2])
    if isinstance(config.model, UNet):  # two, as these have more
        sizes |= {name: sizes[name][-2:] for name in ("gen", "disc")}
        shape = (*shape[:-3], 16 * config.model.patch, 16 * config.model.patch, shape[-1])
    if isinstance(config.model, Clip):  # three, of frames of 16x16
        sizes |= {name: sizes[name][-3:] for name in ("gen", "disc", "clip")} | {"content": 4, "motion": 2}
        shape = (4, 16, 16, shape[-1])
    if isinstance(config.model, Wave):
        sizes["layers"], shape = 3, (4**4, 1)
    if isinstance(config.model, Vocoder):
        shape = (2 * config.model.window,)
    game = config.game
    if isinstance(config.model, SliceVAE | PassageVAE):
        shape = (2 * getattr(config.model, "every", 4), shape[1])
    if isinstance(config.model, Recurrent):
        sizes |= {"vocabulary": 20, "heads": min(config.model.heads, 2)}
        shape = tuple(len(config.model.critic) + 1 for _ in shape)
    if isinstance(game, AdversarialSequence):  # a step of likelihood, then one of both players
        game = dataclasses.replace(game, pretrain=1, critic_pretrain=0)
    model = dataclasses.replace(config.model, **sizes)
    batch = 8 * getattr(config.game, "critic_steps", 1)
    return dataclasses.replace(config, model=model, game=game, shape=shape, batch=batch)


def synthetic_raw(config, n):
    """What the config's data would hold."""
    if assemble.domain(config).raw:
        return {name: synthetic_array(name, a, config) for name, a in assemble.example_raw(config, n).items()}
    raw = synthetic.images(config.shape[-3:], n, max(getattr(config.game, "classes", 0), 2))
    if len(config.shape) == 4:  # clips, of a thing that moves to the right
        frames = [np.roll(raw["image"], t, axis=2) for t in range(config.shape[0])]
        raw["image"] = np.stack(frames, axis=1)
    if source := assemble.domain(config).source(config):
        raw["source"] = np.random.default_rng(0).integers(0, 8, (n, *source), dtype=np.uint8)  # pixels, or few kinds
    return raw


def synthetic_array(name, a, config):
    """In the shape and of the type of `a`: what an array of a sequence or a sound by this name may hold."""
    rng = np.random.default_rng(0)
    below = {
        "roll": 2,
        "image": 1000,
        "label": max(getattr(config.game, "classes", 0), 1),
        "length": config.shape[0] + 1,
    }
    most = below.get(name, getattr(config.model, "vocabulary", 0))
    return rng.integers(name == "length", most, a.shape).astype(a.dtype)


def size(tree):
    """Bytes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def test_there_are_some():
    assert {"digits_gan", "image_vae"} <= FILES.keys()


@pytest.mark.parametrize("name", FILES)
def test_a_file_says_how_to_run_it(name):
    head, rest = FILES[name].read_text().split('"""\n', 1)
    assert re.search(rf"^ *jaxgen train configs/{name}\.py( --|$)", head, flags=re.MULTILINE)
    assert "def get_config() -> Config:" in rest


def test_survives_json_and_the_loop_makes_sense(config):
    assert from_dict(to_dict(config)) == config
    check_loop(config.loop)


@pytest.fixture
def compiled():
    """What was compiled since the test began."""
    events = []

    def listen(event, duration_secs, **_):
        events.extend([event] if event.endswith("backend_compile_duration") else [])

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


def test_two_steps_of_a_small_one_with_one_compile_and_a_checkpoint(config, compiled, tmp_path):
    config = shrunk(config)
    game, init, train_step = assemble.build(config)
    raw = synthetic_raw(config, 2 * config.batch)
    options = {"xla_backend_optimization_level": 0}  # they run twice: the compiler's time is what counts
    step = jax.jit(train_step, static_argnames=("game", "axis_name"), donate_argnums=0, compiler_options=options)
    first, second = (
        assemble.domain(config).to_batch({name: jnp.asarray(a[half]) for name, a in raw.items()})
        for half in (slice(None, config.batch), slice(config.batch, None))
    )
    start = jax.jit(init, static_argnames="game", compiler_options=options)
    state = start(jax.random.key(config.seed), first, game=game)
    before = [np.array(leaf) for leaf in jax.tree.leaves(state.ema)]
    compiled.clear()
    state, _ = step(state, first, game)
    state, metrics = step(state, second, game)
    assert len(compiled) == 1
    assert int(state.step) == 2
    assert all(np.isfinite(value) for value in metrics.values()), metrics
    moved = [np.abs(np.array(b) - a).max() for a, b in zip(before, jax.tree.leaves(state.ema), strict=True)]
    assert max(moved) > 0  # little where the rate is still warming up
    assert all(np.isfinite(moved))
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(2, state)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        found = checkpoints.restore(assemble.abstract_state(config, game))
    assert found is not None
    restored, at, notes = found
    assert (at, notes) == (2, [])
    jax.tree.map(np.testing.assert_array_equal, restored.ema, state.ema)


def test_full_size_lowers_for_gpu_and_tpu(config):
    """Without a device, and without a single array: `-s` shows what a run will need."""
    game, _, train_step = assemble.build(config)
    state = assemble.abstract_state(config, game)
    one = assemble.example_raw(config)
    raw = {name: jax.ShapeDtypeStruct((config.batch, *a.shape[1:]), a.dtype) for name, a in one.items()}
    batch = jax.eval_shape(assemble.domain(config).to_batch, raw)
    step = jax.jit(partial(train_step, game=game))
    exported = jax.export.export(step, platforms=["cuda", "tpu"])(state, batch)
    assert exported.platforms == ("cuda", "tpu")
    assert len(exported.out_avals) > len(jax.tree.leaves(state))  # and the metrics
    players = [value for value in vars(state).values() if hasattr(value, "opt")]
    params, opt = (sum(size(getattr(player, part)) for player in players) for part in ("params", "opt"))
    flops = (step.lower(state, batch).cost_analysis() or {}).get("flops", 0.0)
    print(f"{config.domain}: parameters {params} bytes, optimiser {opt} bytes, {flops:.4g} FLOPs a step, not optimised")
    assert opt > params > 0  # Adam keeps two numbers for each
    assert flops > params / 4 * config.batch  # at least a product and a sum for each weight and example


@pytest.mark.parametrize("name", FILES)
def test_a_header_leaves_figures_to_results_that_are_there(name):
    """What is typed into a header grows old; files under benchmarks/results say by which commit they were measured."""
    header = ast.get_docstring(ast.parse(FILES[name].read_text())) or ""
    assert f"jaxgen train configs/{name}.py" in header
    assert not re.search(r"\d+(\.\d+)? (minutes|seconds|s )|commit", header)
    for path in re.findall(r"benchmarks/results/[\w/.*-]+\w", header):
        assert list(FILES[name].parent.parent.glob(path)), path
