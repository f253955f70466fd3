"""Suite `layers`: our form and Flax's give the same numbers, from arrays that a peer can load."""

import numpy as np
import pytest

from benchmarks.ours import layer

OPTIONS = {
    "conv_pair": {"shape": [8, 8, 3], "features": 5, "kernel": 4, "stride": 2},
    "up_conv": {"shape": [4, 4, 3], "features": 5},
    "group_norm": {"shape": [4, 4, 32]},
    "batch_norm": {"shape": [4, 4, 3]},
    "blur": {"shape": [8, 8, 3], "length": 3, "stride": 2},
    "bilinear": {"shape": [4, 4, 3]},
}


@pytest.mark.parametrize("op", OPTIONS)
def test_ours_and_flaxs_give_the_same_numbers(op, tmp_path):
    options = {"op": op, "batch": 2, "gradients": True} | OPTIONS[op]
    ours, flax = (
        layer.build({"options": options | {"flax": flag}}).losses(2, str(tmp_path / "given.npz"))
        for flag in (False, True)
    )
    np.testing.assert_allclose(ours, flax, rtol=1e-4, atol=1e-5)
    with np.load(tmp_path / "given.npz") as given:
        assert len(ours[0]) == len(given.files)  # y for the cotangent, a gradient for each of the others


def test_probes_tell_places_apart():
    a = np.zeros((3, 2))
    a[0, 0] = 1
    assert abs(layer.probed(a, 0) - layer.probed(np.roll(a, 1), 0)) > 0.01


def test_an_unknown_op_is_refused():
    with pytest.raises(ValueError, match="no op 'blurr'"):
        layer.operation({"op": "blurr", "shape": [4, 4, 3]})
