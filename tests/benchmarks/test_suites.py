import json

import pytest

from benchmarks import suites
from jaxgen.config import Config, Variational, from_dict
from jaxgen.errors import UserError


@pytest.mark.parametrize("suite", suites.names())
def test_every_case_survives_the_way_to_a_worker(suite):
    cases = suites.load(suite)
    assert len({case.name for case in cases}) == len(cases) > 0
    for case in cases:
        job = json.loads(json.dumps(case.job()))
        assert from_dict(job["config"]) == case.config
        assert case.config.batch == 128


def test_an_unknown_suite_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'step'"):
        suites.load("stop")


def test_rivals_differ_from_their_case_in_known_fields():
    for suite in suites.names():
        for case in suites.load(suite):
            for changes in case.rivals.values():
                assert changes.keys() <= {"steps_per_call", "flax_layers", "config"}
                assert all(getattr(case, field) != value for field, value in changes.items())


def test_the_check_runs_without_noise_of_its_own():
    for case in suites.load("step"):
        config: Config = suites.deterministic(case).config
        assert getattr(config.model, "dropout", 0.0) == 0.0
        assert not (isinstance(config.game, Variational) and config.game.binarise)
        assert config.game.ema_decay == case.config.game.ema_decay
