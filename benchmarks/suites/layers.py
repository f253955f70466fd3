"""What do jaxgen's own layers take, against Flax's and PyTorch's? Each forward, and with all its gradients."""

from typing import Any

from benchmarks.suites import Case
from benchmarks.suites.step import DCGAN

# name -> (op, shape of an example, options, whether Flax has a form of its own)
LAYERS: dict[str, tuple[str, list[int], dict[str, Any], bool]] = {}


def _sizes(name: str, big: list[int], small: list[int], options: dict[str, Any]) -> None:
    """A strided convolution and the transposed one that leads back."""
    LAYERS[f"conv_{name}"] = ("conv", big, options | {"features": small[-1]}, True)
    LAYERS[f"conv_transpose_{name}"] = ("conv_transpose", small, options | {"features": big[-1]}, True)


_K4S2 = {"kernel": 4, "stride": 2}
_K25S4 = {"kernel": 25, "stride": 4, "batch": 16}
_sizes("28_64", [28, 28, 64], [14, 14, 128], _K4S2)
_sizes("14_128", [14, 14, 128], [7, 7, 256], _K4S2)
_sizes("32_64", [32, 32, 64], [16, 16, 64], _K4S2)
_sizes("28_1", [28, 28, 1], [14, 14, 64], _K4S2)
_sizes("1d", [8192, 32], [2048, 64], _K25S4)
_sizes("3d", [16, 32, 32, 32], [8, 16, 16, 64], _K4S2 | {"batch": 16})
LAYERS |= {
    "conv3_14_128": ("conv", [14, 14, 128], {"features": 128}, True),
    "conv3_32_64": ("conv", [32, 32, 64], {"features": 64}, True),
    "conv3_28_to_1": ("conv", [28, 28, 64], {"features": 1}, True),
    "block_1d": ("conv_pair", [8192, 32], _K25S4 | {"features": 64}, True),
    "block_3d": ("conv_pair", [16, 32, 32, 32], _K4S2 | {"features": 64, "batch": 16}, True),
    "up_conv": ("up_conv", [14, 14, 128], {"features": 64}, True),
    "down_conv": ("down_conv", [28, 28, 64], {"features": 128}, True),
    "batch_norm_28": ("batch_norm", [28, 28, 64], {}, True),
    "batch_norm_14": ("batch_norm", [14, 14, 128], {}, True),
    "group_norm_28": ("group_norm", [28, 28, 64], {}, True),
    "group_norm_14": ("group_norm", [14, 14, 128], {}, True),
    "instance_norm": ("instance_norm", [28, 28, 64], {}, True),
    "layer_norm": ("layer_norm", [14, 14, 128], {}, False),  # ours is Flax's
    "blur": ("blur", [28, 28, 64], {"length": 3}, True),
    "blur_down": ("blur", [28, 28, 64], {"length": 3, "stride": 2}, True),
    "average": ("average", [28, 28, 64], {}, True),
    "nearest": ("nearest", [14, 14, 128], {}, True),
    "bilinear": ("bilinear", [14, 14, 128], {}, True),
}


def _case(name: str, gradients: bool) -> Case:
    op, shape, given, rival = LAYERS[name]
    options = {"op": op, "shape": shape, "batch": 128, "gradients": gradients} | given
    return Case(
        f"{name}_{'gradients' if gradients else 'forward'}",
        config=None,
        kind="layer",
        options=options,
        rivals={"flax": {"options": options | {"flax": True}}} if rival else {},
    )


CASES = (
    # 6 to 8 s a step with Flax's: two pairs are enough.
    Case("dcgan_28_conv_transpose", DCGAN, rivals={"flax": {"options": {"flax_layers": True}}}, pairs=2),
    *(_case(name, gradients) for name in LAYERS for gradients in (False, True)),
)
