"""What does bfloat16 save? Each system in it, in turns with fp32, and with the peers in bfloat16."""

from dataclasses import replace

from benchmarks.suites import Case
from benchmarks.suites.step import CASES as STEPS

CASES = tuple(
    Case(
        f"{case.name}_bf16",
        replace(case.config, precision="bf16"),
        case.kind,
        case.options,
        rivals={"fp32": {"config": case.config}},
        pairs=3,
    )
    for case in STEPS
    if case.config
)
