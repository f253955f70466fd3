import importlib.util
import json
from dataclasses import replace

import pytest

from benchmarks import peers, suites
from benchmarks.suites import Case
from jaxgen.config import MLPVAE, Config, Variational, from_dict
from jaxgen.errors import UserError


@pytest.mark.parametrize("suite", suites.names())
def test_every_case_survives_the_way_to_a_worker(suite):
    cases = suites.load(suite)
    assert len({case.name for case in cases}) == len(cases) > 0
    for case in cases:
        job = json.loads(json.dumps(case.job()))
        assert case.config is None or from_dict(job["config"]) == case.config
        assert job["options"] == case.options
        assert case.batch > 0
        assert importlib.util.find_spec(f"benchmarks.ours.{case.kind}")


def test_an_unknown_suite_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'step'"):
        suites.load("stop")


def test_rivals_differ_from_their_case_in_known_fields():
    for suite in suites.names():
        for case in suites.load(suite):
            for changes in case.rivals.values():
                assert changes.keys() <= {"kind", "options", "config"}
                assert all(getattr(case, field) != value for field, value in changes.items())


def test_the_batch_of_a_case_without_a_config_is_an_option():
    case = Case("layer", None, "layer", {"batch": 32})
    assert case.batch == 32
    assert case.job() == {"kind": "layer", "config": None, "options": {"batch": 32}, "sgd": 0.0}


def test_the_check_of_a_call_is_of_the_step_it_repeats():
    call = suites.load("dispatch")[1]
    assert suites.deterministic(call).job()["kind"] == "step"
    bare = Case("layer", None, "layer", {"batch": 32})
    assert suites.deterministic(bare) == bare


def test_the_check_runs_without_noise_of_its_own():
    for case in suites.load("step"):
        config: Config = suites.deterministic(case).config
        assert getattr(config.model, "dropout", 0.0) == 0.0
        assert not (isinstance(config.game, Variational) and config.game.binarise)
        assert not getattr(config.game, "augment", "")
        assert not getattr(config.game, "pool", 0)
        assert config.game.ema_decay == case.config.game.ema_decay


def test_the_check_leaves_labels_and_penalties_as_they_are():
    case = {case.name: case for case in suites.load("step")}["medical_gan"]
    assert case.config
    game = replace(case.config.game, augment="color", ada_target=0.5)
    config: Config = suites.deterministic(replace(case, config=replace(case.config, game=game))).config
    assert config.game == replace(game, augment="")


def test_on_an_accelerator_convolutions_are_in_bf16():
    precision = {case.name.removesuffix("_call"): case.config.precision for case in suites.load("accelerator")}
    assert precision["digits_gan_fp32"] == "fp32"
    for name in ("dcgan_28", "face_gan", "style_transfer_gan", "style_transfer_gan_paired", "super_resolution"):
        assert precision[f"{name}_bf16"] == "bf16"


def test_every_one_of_the_thirteen_systems_has_a_row_with_a_peer():
    rows = suites.load("step")
    assert {int(case.title.split()[0]) for case in rows} == set(range(1, 14))
    for case in rows:
        assert "eager" in peers.PEERS["torch"].variants(case, "cpu"), case.name
    by_name = {case.name: case for case in rows}
    assert "own" in peers.PEERS["pythae"].variants(by_name["image_vae"], "cpu")
    assert "own" in peers.PEERS["artifex"].variants(by_name["dcgan_28"], "cpu")
    assert by_name["flax_vae"].config.model == MLPVAE(z_dim=20, widths=(500,))
