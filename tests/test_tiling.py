"""Tiles against the whole, of networks that mix far pixels and know where an edge is."""

from functools import cache

import jax
import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from jaxgen import tiling
from jaxgen.errors import UserError
from jaxgen.models.unet import UNet

QUICK = {"xla_backend_optimization_level": 0}  # they run a few times: the compiler's time is what counts
NETWORKS = {
    "patch-2": (UNet(3, (6, 4), patch=2), 3),
    "scale-2": (UNet(3, (6, 4), scale=2), 3),
    "scale-4": (UNet(1, (6, 4), patch=2, scale=4), 1),
    "masked": (UNet(3, (6, 4), masked=True), 4),
}


def picture(height, width, channels, seed=0):
    x = np.random.default_rng(seed).uniform(-1, 1, (height, width, channels)).astype(np.float32)
    if channels == 4:
        x[..., 3] = x[..., 3] > 0
        x[..., :3] *= 1 - x[..., 3:]
    return x


@cache
def made_of(name):
    """The network with random weights, jitted: [1, h, w, I] -> [1, scale h, scale w, O]."""
    net, channels = NETWORKS[name]
    rng = np.random.default_rng(1)
    x = np.zeros((1, 2 * net.stride, 2 * net.stride, channels), np.float32)
    shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), x, train=False))
    variables = jax.tree.map(lambda a: rng.normal(size=a.shape, scale=a.size**-0.3).astype(a.dtype), shapes)
    return jax.jit(lambda x: net.apply(variables, x, train=False), compiler_options=QUICK)


class Counted:
    """A network that remembers the shapes it was called with."""

    def __init__(self, network):
        self.network, self.shapes = network, []

    def __call__(self, x):
        self.shapes.append(x.shape)
        return np.asarray(self.network(x))


def smooth(x):
    """A network by hand, of a reach of 2, to which an edge is a mirror."""
    return uniform_filter(x, (1, 5, 5, 1), mode="reflect")


def whole(name, x):
    """What the network makes of all of it at once, continued by reflection to sizes that it takes."""
    net, _ = NETWORKS[name]
    height, width = x.shape[:2]
    padded = np.pad(x, ((0, -height % net.stride), (0, -width % net.stride), (0, 0)), mode="symmetric")
    return np.asarray(made_of(name)(padded[None]))[0, : net.scale * height, : net.scale * width]


@pytest.mark.parametrize("name", NETWORKS)
def test_tiles_make_the_whole(name):
    """Of odd sizes, with three tiles and more along each side."""
    net, channels = NETWORKS[name]
    margin = -(-net.reach // net.stride) * net.stride
    side = 4 * margin
    height, width = 2 * side + net.stride - 1, 2 * side - margin + 1
    x, network = picture(height, width, channels), Counted(made_of(name))
    found = tiling.translate(x, network, net.stride, net.reach, net.scale, side)
    assert found.shape == (net.scale * height, net.scale * width, net.channels)
    assert found.dtype == np.float32
    assert set(network.shapes) == {(1, side, side, channels)}
    assert len(network.shapes) >= 9
    np.testing.assert_allclose(found, whole(name, x), rtol=1e-5, atol=1e-5)


def test_without_the_margins_the_seams_would_show():
    x = picture(64, 60, 3)
    made = [tiling.translate(x, smooth, stride=4, reach=reach, side=16) for reach in (2, 0)]
    np.testing.assert_allclose(made[0], smooth(x[None])[0], atol=1e-6)
    assert np.abs(made[1] - made[0]).max() > 1e-2


@pytest.mark.parametrize("size", [(12, 50), (50, 12), (31, 33), (15, 13)])
def test_one_call_shape_for_a_picture(size):
    """Also where one side is within a tile and the other is not, and where all fits into one."""
    x, network = picture(*size, 1), Counted(smooth)
    found = tiling.translate(x, network, stride=2, reach=2, side=16)
    assert len(set(network.shapes)) == 1
    assert (len(network.shapes) > 1) == (max(size) > 16)
    np.testing.assert_allclose(found[:-2, :-2], smooth(x[None])[0, :-2, :-2], atol=1e-6)  # the rest saw what was added


def test_a_picture_of_one_tile_is_given_as_it_is():
    calls = []

    def network(x):
        calls.append(x.copy())
        return 2 * x

    x = picture(5, 6, 1)
    found = tiling.translate(x, network, stride=4, reach=3, side=8)
    np.testing.assert_array_equal(found, 2 * x)
    assert len(calls) == 1
    np.testing.assert_array_equal(calls[0], np.pad(x, ((0, 3), (0, 2), (0, 0)), mode="symmetric")[None])


@pytest.mark.parametrize("net", [UNet(3, (4, 4, 4), patch=2), *(UNet(3, (4, 4), scale=s) for s in (1, 2, 3, 4))])
def test_exactly_the_stride_is_enough(net):
    """Though a network can't halve what has two places: it is given more."""

    def shape_of(x):
        out, _ = jax.eval_shape(lambda x: net.init_with_output(jax.random.key(0), x, train=False), x)
        return np.zeros(out.shape, np.float32)

    for height, width in ((net.stride, net.stride), (net.stride, 5 * net.stride + 1)):
        found = tiling.translate(picture(height, width, 3), shape_of, net.stride, net.reach, net.scale)
        assert found.shape == (net.scale * height, net.scale * width, 3)


def test_less_than_the_stride_is_refused():
    x = picture(4, 4, 1)
    np.testing.assert_array_equal(tiling.translate(x, lambda x: -x, stride=4, reach=9), -x)
    for size in ((3, 9), (9, 3), (1, 1)):
        with pytest.raises(UserError, match=f"{size[1]}x{size[0]} pixels is too small: the network needs 4x4"):
            tiling.translate(picture(*size, 1), lambda x: -x, stride=4, reach=9)


def test_every_pixel_is_made_once_with_all_that_it_needs_around_it():
    """Windows by their rules, of many sizes."""
    for n in range(4, 120, 4):
        for margin in (0, 4, 8):
            for side in range(2 * margin + 4, 48, 4):
                windows = tiling._windows(n, side, margin)
                at = 0
                for (begin, end), (first, last) in windows:
                    assert end - begin == min(side, n)
                    assert first == at < last
                    assert begin >= 0
                    assert end <= n
                    assert begin == 0 or first - begin >= margin
                    assert end == n or end - last >= margin
                    assert begin % 4 == 0
                    at = last
                assert at == n
