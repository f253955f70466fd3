"""What do jaxgen's own layers save, against Flax's in the same networks?"""

from benchmarks.suites import Case
from benchmarks.suites.step import DCGAN

CASES = (
    # 6 to 8 s a step with Flax's: two pairs are enough.
    Case("dcgan_28_conv_transpose", DCGAN, rivals={"flax": {"options": {"flax_layers": True}}}, pairs=2),
)
