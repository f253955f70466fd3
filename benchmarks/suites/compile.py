"""How long does a run's first call take to compile, cold and from the persistent cache? A step is a compilation."""

from benchmarks.suites import Case
from jaxgen.assemble import config_named

ONE = {"batch": 1}

CASES = tuple(
    Case(f"{name}_compile{suffix}", config_named(name)[1], "compile", ONE | option, pairs=3)
    for name in ("digits_gan", "image_vae", "digits_dcgan")
    for suffix, option in (("", {}), ("_cached", {"cached": True}))
)
