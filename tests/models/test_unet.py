"""Networks from image to image: what they start as, what they leave alone, and how far they see."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.unet import PatchCritic, UNet

QUICK = {"xla_backend_optimization_level": 0}  # they run once or twice: the compiler's time is what counts


def noise(*shape):
    return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)


def random_variables(module, *inputs):
    """Of the shapes of its `init`, by NumPy; nothing is 0, so that everything that could matter does."""
    rng = np.random.default_rng(2)
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs, train=False))
    return jax.tree.map(lambda a: rng.normal(size=a.shape, scale=a.size**-0.3).astype(a.dtype), variables)


@cache
def jitted(module):
    return jax.jit(lambda variables, *x: module.apply(variables, *x, train=False), compiler_options=QUICK)


NETWORKS = {
    "plain": (UNet(3, (6, 4)), 3),
    "patch": (UNet(1, (6, 4, 4), (1, 2), patch=2), 1),
    "scale-2": (UNet(3, (6, 4), patch=2, scale=2), 3),
    "scale-4": (UNet(1, (6, 4), patch=2, scale=4), 1),
    "masked": (UNet(3, (6, 4), masked=True), 4),
    "tanh": (UNet(3, (6, 4), residual=False), 1),
}
every_network = pytest.mark.parametrize(("net", "channels"), NETWORKS.values(), ids=NETWORKS.keys())


@every_network
def test_shapes(net, channels):
    height, width = 3 * net.stride, 2 * net.stride
    x = jax.ShapeDtypeStruct((2, height, width, channels), jnp.float32)
    out, variables = jax.eval_shape(lambda x: net.init_with_output(jax.random.key(0), x, train=False), x)
    assert (out.shape, out.dtype) == ((2, net.scale * height, net.scale * width, net.channels), jnp.float32)
    params = variables["params"]
    assert params["Conv_0"]["kernel"].shape == (3, 3, channels * net.patch**2, net.widths[-1])
    blocks = [net.blocks[min(i, len(net.blocks) - 1)] for i in range(len(net.widths))]
    assert len([name for name in params if name.startswith("Block")]) == 2 * sum(blocks)


def test_strides():
    assert [net.stride for net, _ in NETWORKS.values()] == [2, 8, 2, 1, 2, 2]
    assert UNet(1, (4, 4, 4), patch=4, scale=2).stride == 8
    assert UNet(1, (4, 4), patch=2, scale=3).stride == 4  # 3 does not help
    assert UNet(1, (4, 4), patch=2, scale=6).stride == 2


@pytest.mark.parametrize(("height", "width"), [(12, 16), (16, 4)])
def test_sizes_that_do_not_fit_are_refused(height, width):
    net = UNet(1, (4, 4, 4), patch=2)
    with pytest.raises(ValueError, match=f"must be multiples of 8, not {height} x {width}"):
        net.init(jax.random.key(0), jnp.zeros((1, height, width, 1)), train=False)


def fresh(net, x):
    """(output, variables) of a new network."""
    return jax.jit(lambda x: net.init_with_output(jax.random.key(0), x, train=False), compiler_options=QUICK)(x)


def test_a_residual_network_is_the_identity_at_first():
    x = noise(2, 8, 12, 3)
    np.testing.assert_array_equal(fresh(UNet(3, (4,)), x)[0], x)
    made = np.asarray(fresh(UNet(3, (4,), residual=False), x)[0])
    assert made.std() > 1e-3
    assert np.abs(made - x).mean() > 0.1


def test_with_a_scale_it_is_cubic_enlargement_at_first():
    x = noise(2, 4, 6, 3)
    np.testing.assert_allclose(
        fresh(UNet(3, (4,), scale=2), x)[0], jax.image.resize(x, (2, 8, 12, 3), "cubic"), atol=1e-6
    )


@pytest.mark.parametrize("residual", [True, False])
def test_known_pixels_stay_as_they_are_bit_for_bit(residual):
    net = UNet(3, (6, 4), residual=residual, masked=True)
    hole = np.zeros((2, 8, 12, 1), np.float32)
    hole[0, 2:5, 3:9] = hole[1, 7, 11] = 1
    x = np.concatenate([noise(2, 8, 12, 3) * (1 - hole), hole], axis=-1)
    out = np.asarray(jitted(net)(random_variables(net, x), x))
    known = np.broadcast_to(hole == 0, out.shape)
    np.testing.assert_array_equal(out[known], x[..., :3][known])
    assert np.abs(out[~known]).min() > 1e-3  # what was 0 is filled


def seen(net, channels, size):
    """How far from it, in pixels of the input, something changes one pixel near the middle: (y, x, before or after)."""
    x = noise(1, size, size, channels)
    if net.masked:
        x[..., -1] = 1
    variables = random_variables(net, x)
    furthest, middle = 0, net.scale * size // 2

    @partial(jax.jit, compiler_options=QUICK)
    def gradients(variables, x):
        """To the input, of one pixel of each phase of a stride: where a pixel stands in its patch matters."""
        out, pull = jax.vjp(lambda x: net.apply(variables, x, train=False), x)
        n = net.patch << (len(net.widths) - 1)
        places = middle + jnp.arange(n)
        one = jax.vmap(lambda p: jnp.zeros(out.shape).at[0, p, p].set(1.0))(places)
        return jax.vmap(lambda g: pull(g)[0])(one)

    for i, grads in enumerate(np.abs(np.asarray(gradients(variables, x)))):
        at = (middle + i) // net.scale
        for axis in (1, 2):
            places = np.flatnonzero(grads.max(tuple({0, 1, 2, 3} - {axis})) > 0)
            assert places[0] > 0
            assert places[-1] < size - 1  # the picture is large enough to see the end of it
            furthest = max(furthest, at - places[0], places[-1] - at)
    return furthest


@pytest.mark.parametrize("name", ["patch", "scale-2", "scale-4", "masked"])
def test_reach_is_how_far_it_sees_or_a_little_more(name):
    net, channels = NETWORKS[name]
    size = -(-2 * (net.reach + 4) // net.stride + 1) * net.stride
    found = seen(net, channels, size)
    assert found <= net.reach <= 1.5 * found + 1, (found, net.reach)


def test_a_critic_has_logits_of_places():
    critic = PatchCritic((6, 4, 4), (1, 2), patch=2)
    x, y = noise(2, 8, 12, 1), noise(2, 16, 24, 3)
    logits, variables = jax.eval_shape(lambda y, x: critic.init_with_output(jax.random.key(0), y, x, train=False), y, x)
    assert (logits.shape, logits.dtype) == ((2, 2, 3), jnp.float32)  # 16 x 24 by a patch of 2 and two halvings
    assert variables["params"]["Conv_0"]["kernel"].shape == (3, 3, (3 + 1) * 4, 4)
    alone = jax.eval_shape(lambda y: critic.init_with_output(jax.random.key(0), y, train=False)[0], y)
    assert alone.shape == (2, 2, 3)


def test_a_logit_is_of_what_lies_around_it_and_of_the_condition_there():
    critic = PatchCritic((4, 4))
    x, y = noise(1, 16, 16, 1), noise(1, 32, 32, 1)
    variables, f = random_variables(critic, y, x), jitted(critic)
    logits = np.asarray(f(variables, y, x))
    assert logits.shape == (1, 16, 16)
    for other in (f(variables, y + one_pixel(y, 30, 30), x), f(variables, y, x + one_pixel(x, 15, 15))):
        moved = np.abs(np.asarray(other) - logits)[0] > 0
        assert moved[15, 15]
        assert not moved[:8].any()
        assert not moved[:, :8].any()


def one_pixel(x, row, column):
    out = np.zeros_like(x)
    out[0, row, column] = 1
    return out


def test_a_condition_is_brought_to_size_by_repetition():
    critic = PatchCritic((4, 4))
    x, y = noise(1, 4, 6, 2), noise(1, 8, 12, 1)
    variables = random_variables(critic, y, x)
    large = x.repeat(2, axis=1).repeat(2, axis=2)
    logits = jitted(critic)(variables, y, x)
    np.testing.assert_allclose(logits, jitted(critic)(variables, y, large), rtol=1e-5, atol=1e-6)
    assert np.abs(logits - jitted(critic)(variables, y, large[:, ::-1])).max() > 1e-3


def test_bf16_arithmetic_gives_fp32_outputs():
    x = jnp.zeros((2, 8, 8, 3))
    for net in (UNet(3, (6, 4), dtype="bfloat16"), PatchCritic((6, 4), dtype="bfloat16")):
        make = jax.make_jaxpr(lambda x, net=net: net.init_with_output(jax.random.key(0), x, train=False))
        out, *params = make(x).out_avals
        assert {a.dtype for a in (out, *params)} == {jnp.dtype("float32")}
        products = [line for line in str(make(x)).splitlines() if "conv_general" in line or "dot_general" in line]
        assert products
        assert all(":bf16[" in line for line in products)
