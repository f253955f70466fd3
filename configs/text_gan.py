"""Sentences of Python's own manual, which comes with Python: maximum likelihood, then a critic through Gumbel-softmax.

jaxgen train configs/text_gan.py

Sentences in the manual's terms whose clauses are right and whose sense is not.
"""

from jaxgen.config import AdversarialSequence, Config, Loop, Recurrent


def get_config() -> Config:
    return Config(
        domain="text/sentences",
        model=Recurrent(vocabulary=2000, embedding=64, width=128, dropout=0.3),
        game=AdversarialSequence(pretrain=1500, critic_pretrain=100, mle=1.0, anneal=500),
        data="pydoc_sentences",
        shape=(24,),
        batch=64,
        loop=Loop(steps=2100, log_every=100, save_every=500, sample_every=500),
    )
