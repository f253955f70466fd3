"""Captions of pictures, every word of them: the GAN of gate 3, and, at the end of its first phase, what it is held
against.

jaxgen train configs/text_gan_captions.py --data path/to/captions

Results of three seeds: benchmarks/results/quality/text_gan-seed*.json.
"""

from jaxgen.config import Adam, AdversarialSequence, Config, Loop, Recurrent


def get_config() -> Config:
    return Config(
        domain="text/sentences",
        model=Recurrent(vocabulary=4684, embedding=64, width=256, dropout=0.3),
        game=AdversarialSequence(
            likelihood=Adam(lr=2e-3, b1=0.9, clip=5.0, weight_decay=0.3),
            pretrain=2500,
            critic_pretrain=200,
            mle=1.0,
            gen=Adam(lr=5e-4, b1=0.9, clip=5.0, weight_decay=0.1),
            disc=Adam(lr=1e-3, b1=0.9, clip=5.0),
            final_temperature=0.1,
            anneal=1000,
        ),
        data="pydoc_sentences",
        shape=(24,),
        batch=64,
        loop=Loop(steps=3700, log_every=100, save_every=500, sample_every=500, keep=10),
    )
