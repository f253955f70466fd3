"""What does a call of several steps save? Each size of call in turns with calls of one step."""

from benchmarks.suites import Case
from benchmarks.suites.step import DIGITS_GAN

ONE = {"steps_per_call": 1}

CASES = (
    Case("digits_gan_call_1", DIGITS_GAN, "call", ONE),
    *(
        Case(f"digits_gan_call_{k}", DIGITS_GAN, "call", {"steps_per_call": k}, rivals={"call_1": {"options": ONE}})
        for k in (10, 100)
    ),
)
