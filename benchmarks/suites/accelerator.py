"""How long does a step take as a run on an accelerator makes it? Several in a call, convolutions in bfloat16.

Not for CPU, where one core takes minutes for a row.
"""

from dataclasses import replace

from benchmarks.suites import Case
from benchmarks.suites.step import CASES as STEPS
from jaxgen.config import MLP, MLPVAE

CALL = {"steps_per_call": 20}


def _case(case: Case) -> Case:
    assert case.config
    precision = "fp32" if isinstance(case.config.model, MLP | MLPVAE) else "bf16"
    config = replace(case.config, batch=128, precision=precision)
    kind = "call" if case.kind == "step" else case.kind
    return replace(case, name=f"{case.name}_{precision}_call", config=config, kind=kind, options=CALL)


CASES = tuple(_case(case) for case in STEPS)
