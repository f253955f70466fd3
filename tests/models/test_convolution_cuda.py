"""The form for NVIDIA cards, computed here: the same sums in another order."""

import jax
import numpy as np
import pytest

from jaxgen.models import convolution_cuda
from jaxgen.models.convolution_cpu import native_forward


@pytest.mark.parametrize(
    ("n", "k", "stride", "pads"),
    [
        (16, 25, 4, (10, 11)),
        (16, 4, 2, (1, 1)),
        (12, 3, 3, (0, 0)),
        (12, 1, 2, (0, 0)),
        (12, 5, 4, (3, 0)),
        (12, 9, 2, (0, 7)),
    ],
)
def test_one_axis_by_blocks(n, k, stride, pads):
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=s).astype(np.float32) for s in ((2, n, 3), (k, 3, 5)))
    expected = native_forward(x, w, (stride,), (pads,))
    found = convolution_cuda.forward(x, w, (stride,), (pads,))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("space", "strides"), [((9,), (2,)), ((8,), (1,)), ((8, 8), (2, 2))])
def test_what_has_no_blocks_that_lie_together_is_left_to_xla(space, strides):
    x, w = np.zeros((1, *space, 3)), np.zeros((*[4] * len(space), 3, 5))
    pads = ((1, 1),) * len(space)
    forms = [
        str(jax.make_jaxpr(lambda x, w, f=f: f(x, w, strides, pads))(x, w))
        for f in (convolution_cuda.forward, native_forward)
    ]
    assert forms[0] == forms[1]
