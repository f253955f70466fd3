"""How much memory does a training step take as the batch grows, and which batch is the largest that fits?

`benchmarks/memory.py` says how that is measured, and what a row has. A lazy penalty falls due in every step: the
dearest step sets the peak, and so each has it.
"""

from dataclasses import replace
from typing import Any

from benchmarks.memory import line, measure
from benchmarks.suites import Case
from benchmarks.suites.step import CASES as STEPS

__all__ = ["CASES", "line", "measure"]

LADDERS = {
    "digits_gan": (128, 512, 2048),
    "image_vae": (128, 512, 2048),
    "dcgan_28": (32, 128, 512),
    "medical_gan": (32, 64, 128),
}


def _case(case: Case) -> Case:
    assert case.config
    game: Any = case.config.game
    if getattr(game, "penalty", ""):
        game = replace(game, penalty_every=1)
    options = {"batches": list(LADDERS[case.name]), "limit_bytes": 1 << 30}
    return replace(case, config=replace(case.config, game=game), options=options)


CASES = tuple(_case(case) for case in STEPS if case.name in LADDERS)
