"""The generator of text_gan_oracle by maximum likelihood alone: what the GAN of gate 3 is held against.

jaxgen train configs/text_gan_oracle_mle.py --data path/to/oracle.npz
"""

import dataclasses

from jaxgen.assemble import config_named
from jaxgen.config import Config


def get_config() -> Config:
    config = config_named("text_gan_oracle")[1]
    return dataclasses.replace(config, game=dataclasses.replace(config.game, pretrain=100_000))
