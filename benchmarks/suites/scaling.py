"""What does it cost to split a step over devices? 1, 2, 4, 8 of them, weak (128 examples each) and strong (128 in all),
pmap against jit over sharded arrays, and two processes against one.

On CPU the devices are virtual and share the cores: the best that weak scaling can do is to keep the examples/s, and
strong scaling the step's time.
"""

from dataclasses import replace
from typing import Any

from benchmarks.suites import Case
from benchmarks.suites.step import DIGITS_GAN

COUNTS = (1, 2, 4, 8)
K = DIGITS_GAN.loop.steps_per_call


def _options(devices: int, mode: str, processes: int = 1) -> dict[str, Any]:
    return {"devices": devices, "mode": mode, "processes": processes, "steps_per_call": K}


def _case(name: str, devices: int, batch: int) -> Case:
    if devices == 1:
        return Case(name, replace(DIGITS_GAN, batch=batch), "scale", _options(1, "single"), peers=(), pairs=3)
    rivals = {"jit": {"options": _options(devices, "jit")}}
    return Case(name, replace(DIGITS_GAN, batch=batch), "scale", _options(devices, "pmap"), rivals, (), pairs=3)


CASES = (
    *(_case(f"digits_gan_strong_{n}", n, 128) for n in COUNTS),
    *(_case(f"digits_gan_weak_{n}", n, 128 * n) for n in COUNTS[1:]),
    *(
        Case(
            f"digits_gan_2_processes_{mode}",
            DIGITS_GAN,
            "scale",
            _options(4, mode, processes=2),
            rivals={"one_process": {"options": _options(4, mode)}},
            peers=(),
            pairs=3,
        )
        for mode in ("pmap", "jit")
    ),
)
