"""Configs to JSON and back, their differences, and what is said of names and types that are not known."""

import dataclasses
import json

import pytest

from jaxgen.assemble import config_named, configs
from jaxgen.config import (
    MLP,
    MLPVAE,
    Adam,
    Adversarial,
    Config,
    Conv,
    ConvVAE,
    Loop,
    Variational,
    differences,
    from_dict,
    nearest,
    to_dict,
)
from jaxgen.errors import UserError

CONFIG = Config("digits", MLP(z_dim=3, gen=(4, 5)), Adversarial(gen=Adam(lr=1e-3)), shape=(8, 8, 1), seed=7)


@pytest.mark.parametrize("name", configs())
def test_every_config_that_comes_with_jaxgen_survives_json(name):
    stem, config = config_named(name)
    assert stem == name
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize("model", [MLP(), Conv(width=3), MLPVAE(widths=(7,)), ConvVAE(hidden=9)])
@pytest.mark.parametrize("game", [Adversarial(penalty="r1", classes=10), Variational(beta=0.5, binarise=True)])
def test_every_model_and_game_survives_json_with_its_type(model, game):
    config = dataclasses.replace(CONFIG, model=model, game=game)
    back = from_dict(json.loads(json.dumps(to_dict(config))))
    assert back == config
    assert type(back.model) is type(model)
    assert hash(back) == hash(config)


def test_to_dict_by_hand():
    tree = to_dict(CONFIG)
    assert tree["model"] == {
        "type": "MLP", "z_dim": 3, "gen": [4, 5], "disc": [1024, 512, 256], "dropout": 0.3, "spectral_norm": False,
    }  # fmt: skip
    assert tree["game"]["type"] == "Adversarial"
    assert tree["game"]["gen"]["lr"] == 1e-3
    assert tree["shape"] == [8, 8, 1]
    assert "type" not in tree["loop"]


def test_fields_left_out_take_their_defaults():
    config = from_dict({"domain": "image", "model": {"type": "ConvVAE"}, "game": {"type": "Variational"}})
    assert config == Config("image", ConvVAE(), Variational())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sede": 1}, "Config has no field 'sede'; did you mean 'seed'?"),
        ({"loop": {"stpes": 1}}, "Loop has no field 'stpes'; did you mean 'steps'?"),
        ({"model": {"type": "MPL"}}, "Config.model has no type 'MPL'; did you mean 'MLP'?"),
        ({"model": {"z_dim": 3}}, "Config.model has no type None; choose from Clip, Conv, ConvVAE, MLP, MLPVAE"),
        ({"model": {"type": "MLP", "gne": [3]}}, "MLP has no field 'gne'; did you mean 'gen'?"),
        ({"game": {"type": "Adversarial", "gen": {"rl": 1}}}, "Adam has no field 'rl'"),
    ],
)
def test_unknown_fields_and_types_are_named(change, words):
    with pytest.raises(UserError) as error:
        from_dict(to_dict(CONFIG) | change)
    assert words in str(error.value)


def test_a_missing_field_is_named():
    with pytest.raises(UserError, match="domain"):
        from_dict({"model": {"type": "MLP"}, "game": {"type": "Adversarial"}})


def test_differences_name_what_a_resumed_run_may_not_change():
    new = dataclasses.replace(
        CONFIG,
        seed=8,
        model=MLP(z_dim=4, gen=(4, 5)),
        game=Adversarial(gen=Adam(lr=2e-3)),
        loop=Loop(steps=1, save_every=5),
        parallel="pmap",
        data_dir="elsewhere",
        download=True,
    )
    assert differences(CONFIG, new) == ["game.gen.lr: 0.001 -> 0.002", "model.z_dim: 3 -> 4", "seed: 7 -> 8"]
    assert differences(CONFIG, CONFIG) == []


def test_another_model_differs_by_its_type_and_all_its_fields():
    found = differences(CONFIG, dataclasses.replace(CONFIG, model=Conv()))
    assert "model.type: MLP -> Conv" in found
    assert "model.gen: [4, 5] -> None" in found
    assert "model.width: None -> 64" in found


def test_nearest():
    assert nearest("hing", ["hinge", "wasserstein"]) == "; did you mean 'hinge'?"
    assert nearest("xyz", ["b", "a"]) == "; choose from a, b"


def test_configs_are_frozen_and_mistyped_fields_fail():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CONFIG.seed = 3
    with pytest.raises(TypeError, match="sede"):
        Config("digits", MLP(), Adversarial(), sede=3)
