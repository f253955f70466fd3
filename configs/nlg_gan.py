"""Writing in three registers, from texts that come with packages: Python's manual, docstrings, scripture.

jaxgen train configs/nlg_gan.py
"""

from jaxgen.config import Adam, AdversarialSequence, Config, Loop, Recurrent


def get_config() -> Config:
    return Config(
        domain="registers",
        model=Recurrent(vocabulary=3000, embedding=64, width=192, dropout=0.3),
        game=AdversarialSequence(
            likelihood=Adam(lr=2e-3, b1=0.9, clip=5.0, weight_decay=0.1),
            pretrain=2000,
            critic_pretrain=100,
            mle=1.0,
            anneal=500,
            classes=3,
        ),
        data="package_texts",
        shape=(24,),
        batch=64,
        loop=Loop(steps=2600, log_every=100, save_every=500, sample_every=500),
    )
