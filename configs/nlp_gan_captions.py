"""The second half of a picture's caption to its first: the run of gate 7.

jaxgen train configs/nlp_gan_captions.py --data path/to/captions

Results of three seeds: benchmarks/results/quality/nlp_gan-seed*.json.
"""

from jaxgen.config import Adam, AdversarialSequence, Config, Loop, Recurrent


def get_config() -> Config:
    return Config(
        domain="replies",
        model=Recurrent(vocabulary=3000, embedding=64, width=192, dropout=0.3),
        game=AdversarialSequence(
            likelihood=Adam(lr=2e-3, b1=0.9, clip=5.0, weight_decay=0.3),
            pretrain=2000,
            critic_pretrain=200,
            mle=1.0,
            gen=Adam(lr=5e-4, b1=0.9, clip=5.0, weight_decay=0.1),
            disc=Adam(lr=1e-3, b1=0.9, clip=5.0),
            final_temperature=0.1,
            anneal=800,
        ),
        data="pydoc_sentences",
        shape=(16, 16),
        batch=64,
        loop=Loop(steps=3000, log_every=100, save_every=500, sample_every=500, keep=10),
    )
