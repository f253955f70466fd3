"""Every network: shapes, ranges, types, labels, and that training and evaluation differ only where they should."""

import jax
import numpy as np
import pytest

from jaxgen.models import conv, mlp, residual, vae

SHAPE, Z, CLASSES = (8, 12, 3), 5, 4
RNG = np.random.default_rng(0)
LATENTS = RNG.normal(size=(4, Z)).astype(np.float32)
IMAGES = RNG.uniform(-1, 1, size=(4, *SHAPE)).astype(np.float32)
LABELS = np.array([0, 1, 2, 3], np.int32)

GENERATORS = {
    "mlp": lambda **kw: mlp.Generator(SHAPE, (6,), **kw),
    "conv": lambda **kw: conv.Generator(SHAPE, 2, 2, **kw),
    "residual": lambda **kw: residual.Generator(SHAPE, (4, 4, 2), **kw),
    "residual-norm": lambda **kw: residual.Generator(SHAPE, (4, 2), norm="batch", **kw),
}
CRITICS = {
    "mlp": lambda **kw: mlp.Critic((6, 4), **kw),
    "mlp-spectral-dropout": lambda **kw: mlp.Critic((6,), dropout=0.5, spectral_norm=True, **kw),
    "conv": lambda **kw: conv.Critic(2, 2, **kw),
    "conv-spectral-dropout": lambda **kw: conv.Critic(2, 1, dropout=0.5, spectral_norm=True, **kw),
    "residual": lambda **kw: residual.Critic((4, 4, 2), **kw),
    "residual-totals": lambda **kw: residual.Critic((4, 2), totals=True, **kw),
}
PAIRS = {
    "mlp": lambda **kw: (vae.MLPEncoder(Z, (6,), **kw), vae.MLPDecoder(SHAPE, (6,), **kw)),
    "conv": lambda **kw: (vae.ConvEncoder(Z, (2, 4), 6, **kw), vae.ConvDecoder(SHAPE, (2, 4), 6, **kw)),
    "conv-one-width": lambda **kw: (vae.ConvEncoder(Z, (3,), 6, **kw), vae.ConvDecoder(SHAPE, (3,), 6, **kw)),
}


def random_variables(module, *inputs):
    """Of the shapes and types of its `init`, by NumPy, which compiles nothing."""
    rng = np.random.default_rng(1)
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs, train=False))

    def param(a):  # scales and biases above 0, lest a ReLU shut a narrow network
        values = rng.uniform(0.1, 1, a.shape) if len(a.shape) == 1 else rng.normal(size=a.shape, scale=a.size**-0.25)
        return values.astype(a.dtype)

    params = jax.tree.map(param, variables["params"])
    stats = jax.tree.map(lambda a: rng.uniform(0.5, 1.5, a.shape).astype(a.dtype), variables.get("batch_stats", {}))
    return {"params": params, "batch_stats": stats}


def both(module):
    """The compiled (variables, *inputs) -> outputs of (evaluation, training)."""

    def run(variables, *inputs):
        keys = {"example": jax.random.key(1)}
        train, _ = module.apply(variables, *inputs, train=True, rngs=keys, mutable=["batch_stats"])
        return module.apply(variables, *inputs, train=False), train

    return run


def run(module, *inputs):
    """(variables, output of evaluation, output of training)."""
    variables = random_variables(module, *inputs)
    return variables, *jax.jit(both(module))(variables, *inputs)


def types(tree):
    return {a.dtype.name for a in jax.tree.leaves(tree)}


@pytest.mark.parametrize("name", GENERATORS)
def test_generators_make_images_in_range(name):
    _, x, trained = run(GENERATORS[name](), 30 * LATENTS)
    for out in (x, trained):
        assert out.shape == (4, *SHAPE)
        assert np.abs(out).max() <= 1
    assert np.abs(x[0] - x[1]).max() > 0  # it listens to z


@pytest.mark.parametrize("name", CRITICS)
def test_critics_give_one_logit_each(name):
    module = CRITICS[name]()
    variables, logit, trained = run(module, IMAGES)
    assert logit.shape == trained.shape == (4,)
    assert np.ptp(logit) > 0
    if "dropout" in name:
        assert (np.abs(trained - logit) > 1e-4).any()
        again = jax.jit(lambda: module.apply(variables, IMAGES, train=False))()
        np.testing.assert_allclose(again, logit, rtol=1e-5)  # no noise in evaluation


@pytest.mark.parametrize("name", PAIRS)
def test_vae_pairs(name):
    encoder, decoder = PAIRS[name]()
    _, (mu, logvar), _ = run(encoder, (IMAGES + 1) / 2)
    assert mu.shape == logvar.shape == (4, Z)
    assert (mu != logvar).any()
    _, out, _ = run(decoder, 50 * LATENTS)
    assert out.shape == (4, *SHAPE)
    # Logits and means take either sign; a hard swish at the end would bound them below by -0.375, a GELU by -0.17.
    assert out.min() < -0.5
    assert out.max() > 0.5
    assert np.abs(out[0] - out[1]).max() > 0


NETWORKS = {
    **{f"gen-{n}": (make, LATENTS) for n, make in GENERATORS.items()},
    **{f"critic-{n}": (make, IMAGES) for n, make in CRITICS.items()},
    **{f"encoder-{n}": (lambda make=make, **kw: make(**kw)[0], IMAGES) for n, make in PAIRS.items()},
    **{f"decoder-{n}": (lambda make=make, **kw: make(**kw)[1], LATENTS) for n, make in PAIRS.items()},
}


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_outputs_are_fp32_and_bf16_is_used_within_where_asked_for(name, dtype):
    make, x = NETWORKS[name]
    module = make(dtype=dtype)
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), x, train=False))
    jaxpr, outputs = jax.make_jaxpr(both(module), return_shape=True)(variables, x)
    assert types((variables, outputs)) == {"float32"}
    assert ("bf16" in str(jaxpr)) == (dtype is not None)


def apply(module, variables, *inputs):
    return module.apply(variables, *inputs, train=False)


@pytest.mark.parametrize("name", GENERATORS)
def test_generators_listen_to_the_label(name):
    module = GENERATORS[name](classes=CLASSES)
    same = np.repeat(LATENTS[:1], 4, axis=0)
    variables, x, _ = run(module, same, LABELS)
    assert min(np.abs(x[i] - x[j]).max() for i in range(4) for j in range(i)) > 0
    np.testing.assert_allclose(apply(module, variables, same, LABELS[::-1]), x[::-1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["mlp", "conv", "residual"])
def test_critics_listen_to_the_label(name):
    module = CRITICS[name](classes=CLASSES)
    same = np.repeat(IMAGES[:1], 4, axis=0)
    variables, logit, _ = run(module, same, LABELS)
    assert min(abs(logit[i] - logit[j]) for i in range(4) for j in range(i)) > 0
    np.testing.assert_allclose(apply(module, variables, same, LABELS[::-1]), logit[::-1], rtol=1e-5)


def test_conv_networks_normalise_over_the_batch_but_for_the_critics_first_layer():
    gen = random_variables(GENERATORS["conv"](), LATENTS)["batch_stats"]
    critic = random_variables(CRITICS["conv"](), IMAGES)["batch_stats"]
    assert [s["mean"].shape for s in gen.values()] == [(8,), (4,), (2,)]
    assert [s["mean"].shape for s in critic.values()] == [(4,)]


def test_a_spectrally_normalised_critic_is_lipschitz():
    """Dense layers of norm 1 and leaky ReLUs of slope at most 1: no slope of the whole above 1."""
    module = mlp.Critic((8, 8), spectral_norm=True)
    variables = random_variables(module, IMAGES)
    for vectors in variables["batch_stats"].values():
        for name in [n for n in vectors if n.endswith("/u")]:
            kernel = variables["params"][name.split("/")[0]]["kernel"]
            vectors[name] = np.linalg.svd(kernel)[2][:1]
    grads = jax.jit(jax.grad(lambda x: module.apply(variables, x, train=False).sum()))(IMAGES)
    norms = np.linalg.norm(grads.reshape(4, -1), axis=1)
    assert (norms > 0.01).all()
    assert (norms <= 1.001).all()
