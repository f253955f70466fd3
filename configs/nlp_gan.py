"""The second half of a sentence to its first, of Python's own manual, which comes with Python.

jaxgen train configs/nlp_gan.py

Of so few sentences a matcher learns little: captions (`nlp_gan_captions`) are what it is to be judged on.
"""

from jaxgen.config import Adam, AdversarialSequence, Config, Loop, Recurrent


def get_config() -> Config:
    return Config(
        domain="replies",
        model=Recurrent(vocabulary=2400, embedding=64, width=192, dropout=0.4),
        game=AdversarialSequence(
            likelihood=Adam(lr=2e-3, b1=0.9, clip=5.0, weight_decay=0.1),
            pretrain=1500,
            critic_pretrain=100,
            mle=1.0,
            anneal=500,
        ),
        data="pydoc_sentences",
        shape=(16, 16),
        batch=64,
        loop=Loop(steps=2100, log_every=100, save_every=300, sample_every=300),
    )
