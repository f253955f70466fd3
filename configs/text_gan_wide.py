"""Sentences of news at a vocabulary of 5,000, by a relational memory (RelGAN, Nie et al. 2019), in bfloat16; for
accelerators.

jaxgen train configs/text_gan_wide.py --download

Not trained here: its step is lowered for CUDA and TPU by a test.
"""

from jaxgen.config import Adam, AdversarialSequence, Config, Loop, Recurrent


def get_config() -> Config:
    return Config(
        domain="text/sentences",
        model=Recurrent(
            vocabulary=5000,
            embedding=256,
            core="memory",
            width=512,
            slots=1,
            heads=2,
            dropout=0.1,
            critic=(300, 300, 300, 300),
            critic_embedding=64,
        ),
        game=AdversarialSequence(
            likelihood=Adam(lr=1e-3, b1=0.9, clip=5.0, weight_decay=0.1),
            pretrain=20_000,
            critic_pretrain=500,
            mle=0.5,
            gen=Adam(lr=1e-4, b1=0.9, clip=5.0),
            disc=Adam(lr=1e-4, b1=0.9, clip=5.0),
            anneal=20_000,
        ),
        data="ag_news_subset",
        shape=(48,),
        batch=256,
        precision="bf16",
        loop=Loop(steps=40_500, steps_per_call=20, log_every=500, save_every=5000, sample_every=5000),
    )
