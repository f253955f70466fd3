"""The vocoder: lengths, what it makes of Griffin-Lim's beginning, and critics against strided indices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.losses.penalties import r1
from jaxgen.models import vocoder
from jaxgen.speech import griffin_lim
from jaxgen.speech.mel import Mel

pytestmark = pytest.mark.usefixtures("compiled_quickly")
MEL = Mel(8000, window=64, hop=16, bands=6)
RNG = np.random.default_rng(0)


def drawn(module, *inputs):
    """Variables of the shapes of `init`, all drawn: a fresh block ends in zeros."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs))
    rng = np.random.default_rng(1)

    def draw(a):
        scale = 0.1 if a.ndim < 2 else (a.size / a.shape[-1]) ** -0.5
        return jnp.asarray(scale * rng.normal(size=a.shape), a.dtype)

    return jax.tree.map(draw, shapes)


class Evaluated:
    """A module with `train=False`."""

    def __init__(self, module):
        self.module = module

    def init(self, key, *inputs):
        return self.module.init(key, *inputs, train=False)

    def apply(self, variables, *inputs):
        return jax.jit(partial(self.module.apply, train=False))(variables, *inputs)


def test_a_block_is_the_identity_at_first():
    x = RNG.normal(size=(2, 9, 4)).astype(np.float32)
    out, variables = vocoder.Block().init_with_output(jax.random.key(0), x)
    np.testing.assert_array_equal(out, x)
    assert variables["params"]["Conv_0"]["kernel"].shape == (7, 4, 4)


@pytest.mark.parametrize("frames", [2, 5, 24])
def test_of_any_number_of_frames_hop_samples_each(frames):
    gen = Evaluated(vocoder.Generator(MEL, width=4, blocks=2, iterations=2))
    x = RNG.uniform(-1, 1, size=(3, frames, 6)).astype(np.float32)
    variables = drawn(gen, np.zeros((1, 8, 6), np.float32))
    out = gen.apply(variables, x)
    assert out.shape == (3, frames * 16)
    assert out.dtype == jnp.float32
    assert np.isfinite(out).all()
    assert np.abs(out[0] - out[1]).max() > 1e-4


def fresh(iterations, frames=8):
    """(generator, its parameters, log-mel spectrograms of noise)."""
    gen = Evaluated(vocoder.Generator(MEL, width=4, blocks=2, iterations=iterations))
    x = np.asarray(MEL.log_mel(jnp.asarray(0.3 * RNG.normal(size=(2, frames * 16)), jnp.float32)))
    return gen, jax.jit(gen.init)(jax.random.key(0), x)["params"], x


def test_at_first_it_makes_what_griffin_lim_makes():
    gen, params, x = fresh(3)
    size = griffin_lim.magnitudes(x, MEL, griffin_lim.spread(x, MEL), vocoder.UPDATES)
    phase = griffin_lim.phases(size, MEL, 3, griffin_lim.advance(8, MEL))
    np.testing.assert_allclose(gen.apply({"params": params}, x), after(MEL.istft(size * phase, 128), x), atol=1e-4)


def after(wave, x):
    """What comes behind the network."""
    for _ in range(vocoder.ROUNDS):
        wave = vocoder.nearer(wave, x, MEL)
    return wave


def test_each_round_brings_the_mel_amplitudes_nearer():
    x = MEL.log_mel(jnp.asarray(0.3 * RNG.normal(size=(2, 256)), jnp.float32))
    wave = jnp.asarray(0.3 * RNG.normal(size=(2, 256)), jnp.float32)
    far = [np.abs(MEL.log_mel(wave) - x).mean()]
    for _ in range(3):
        wave = vocoder.nearer(wave, x, MEL)
        far.append(np.abs(MEL.log_mel(wave) - x).mean())
    assert far[1] < 0.5 * far[0]
    assert far == sorted(far, reverse=True)


def test_silence_stays_silent_and_has_a_gradient():
    x = jnp.full((1, 8, 6), -1.0)
    value, slope = jax.value_and_grad(lambda wave: jnp.abs(vocoder.nearer(wave, x, MEL)).sum())(jnp.zeros((1, 128)))
    assert value == 0
    assert np.isfinite(slope).all()


def test_without_iterations_the_last_layer_is_the_phase():
    gen, params, x = fresh(0)
    assert params["Dense_1"]["kernel"].shape == (4, 33)
    params["Dense_1"] = jax.tree.map(jnp.zeros_like, params["Dense_1"])
    size = griffin_lim.magnitudes(x, MEL, griffin_lim.spread(x, MEL), vocoder.UPDATES)
    plain = gen.apply({"params": params}, x)
    np.testing.assert_allclose(plain, after(MEL.istft(size.astype(jnp.complex64), 128), x), atol=1e-4)
    params["Dense_1"]["bias"] = jnp.full(33, np.pi, jnp.float32)
    np.testing.assert_allclose(gen.apply({"params": params}, x), -plain, atol=1e-4)


def test_a_magnitude_is_moved_so_far_and_no_further():
    gen, params, x = fresh(0)
    outs = []
    for far in (0.0, vocoder.REACH, 50.0):
        params["Dense_0"]["bias"] = jnp.where(jnp.arange(33) % 2 == 0, far, -far)
        outs.append(gen.apply({"params": params}, x))
    np.testing.assert_allclose(outs[1], outs[2], atol=1e-6)
    assert np.abs(outs[0] - outs[1]).max() > 1e-3
    assert np.isfinite(outs[2]).all()


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def convolved(h, layer, stride):
    """h [T, I] -> [ceil(T / stride), O], one output after the other; as much padding as SAME has, the odd one last."""
    kernel, bias = (np.asarray(layer[name], np.float64) for name in ("kernel", "bias"))
    taps, n = len(kernel), -(-len(h) // stride)
    total = max((n - 1) * stride + taps - len(h), 0)
    h = np.pad(h, ((total // 2, total - total // 2), (0, 0)))
    return np.stack([np.einsum("ki,kio->o", h[m * stride : m * stride + taps], kernel) + bias for m in range(n)])


def critic_of_one(y, params, stride):
    """Logits [n] and features, each [n, C], of samples y [T]."""
    h, features = y[:, None].astype(np.float64), []
    layers = sorted(name for name in params if name.startswith("Conv_"))
    for name in layers[:-1]:
        h = leaky(convolved(h, params[name], stride))
        features.append(h)
    h = leaky(convolved(h, params[layers[-1]], 1))
    kernel, bias = (np.asarray(params["Dense_0"][name], np.float64) for name in ("kernel", "bias"))
    return (h @ kernel + bias)[:, 0], [*features, h]


@pytest.mark.parametrize(("period", "length"), [(2, 40), (3, 40), (5, 41), (7, 49)])
def test_the_critic_of_a_period_sees_every_nth_sample(period, length):
    y = RNG.normal(size=(2, length)).astype(np.float32)
    critic = vocoder.PeriodCritic(period, (3, 4))
    variables = drawn(critic, y)
    logits, features = jax.jit(critic.apply)(variables, y)
    assert logits.shape[0] == 2
    assert len(features) == 3
    for of_one, of_features, samples in zip(logits, zip(*features, strict=True), y, strict=True):
        fill = -length % period
        samples = np.concatenate([samples, samples[::-1][1 : 1 + fill]])
        each = [critic_of_one(samples[i::period], variables["params"], 3) for i in range(period)]
        np.testing.assert_allclose(of_one, np.concatenate([out for out, _ in each]), atol=1e-5)
        for i, found in enumerate(of_features):
            expected = np.concatenate([hidden[i].ravel() for _, hidden in each])
            np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("scale", "length"), [(1, 48), (2, 49), (4, 67)])
def test_the_critic_of_a_scale_sees_means(scale, length):
    y = RNG.normal(size=(2, length)).astype(np.float32)
    critic = vocoder.ScaleCritic(scale, (3, 4))
    variables = drawn(critic, y)
    logits, features = jax.jit(critic.apply)(variables, y)
    for of_one, of_features, samples in zip(logits, zip(*features, strict=True), y, strict=True):
        means = np.array([samples[i : i + scale].mean() for i in range(0, length - scale + 1, scale)])
        expected, hidden = critic_of_one(means, variables["params"], 4)
        np.testing.assert_allclose(of_one, expected, atol=1e-5)
        for found, one in zip(of_features, hidden, strict=True):
            np.testing.assert_allclose(found, one.ravel(), atol=1e-5)


def test_critics_are_those_of_periods_then_of_scales():
    critics = Evaluated(vocoder.Critics((2, 3), 2, (3, 4)))
    y = RNG.normal(size=(2, 48)).astype(np.float32)
    variables = drawn(critics, y)
    assert variables["params"].keys() == {"PeriodCritic_0", "PeriodCritic_1", "ScaleCritic_0", "ScaleCritic_1"}
    logits, features = critics.apply(variables, y)
    assert len(logits) == len(features) == 4
    alone, _ = vocoder.ScaleCritic(2, (3, 4)).apply({"params": variables["params"]["ScaleCritic_1"]}, y)
    np.testing.assert_array_equal(logits[3], alone)
    beside, _ = critics.apply(variables, y, np.ones((2, 3, 6), np.float32))
    np.testing.assert_array_equal(logits[0], beside[0])  # what the waveform was made of is not looked at


def test_gradients_are_finite_through_both_networks_and_of_the_penalty():
    gen = Evaluated(vocoder.Generator(MEL, width=4, blocks=2, iterations=2))
    critics = Evaluated(vocoder.Critics((2, 3), 2, (3, 4)))
    x = RNG.uniform(-1, 1, size=(2, 8, 6)).astype(np.float32)
    x[0] = -1  # silence
    params = drawn(gen, x)["params"]
    judges = drawn(critics, np.zeros((2, 128), np.float32))["params"]

    def total(judges, y):
        return jnp.stack([part.sum(1) for part in critics.apply({"params": judges}, y)[0]]).sum(0)

    grads = jax.jit(jax.grad(lambda p: total(judges, gen.apply({"params": p}, x)).sum()))(params)
    y = jnp.asarray(RNG.normal(size=(2, 128)), jnp.float32)
    keys = jax.random.split(jax.random.key(0), 2)
    value, second = jax.jit(jax.value_and_grad(lambda j: r1(lambda y: total(j, y), y, y, keys).mean()))(judges)
    assert value > 0
    for path, leaf in jax.tree_util.tree_leaves_with_path((grads, second)):
        assert np.isfinite(leaf).all(), path
    assert np.abs(grads["Conv_0"]["kernel"]).max() > 0
    assert np.abs(second["ScaleCritic_1"]["Conv_0"]["kernel"]).max() > 0
