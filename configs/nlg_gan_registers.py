"""Captions, drama and manuals, written by category: the run of gate 12.

jaxgen train configs/nlg_gan_registers.py --data path/to/registers

Results of three seeds: benchmarks/results/quality/nlg_gan-seed*.json. Ten as they come: benchmarks/results/samples.
"""

from jaxgen.config import Adam, AdversarialSequence, Config, Loop, Recurrent


def get_config() -> Config:
    return Config(
        domain="registers",
        model=Recurrent(vocabulary=4000, embedding=64, width=224, dropout=0.3),
        game=AdversarialSequence(
            likelihood=Adam(lr=2e-3, b1=0.9, clip=5.0, weight_decay=0.2),
            pretrain=2500,
            critic_pretrain=200,
            mle=1.0,
            gen=Adam(lr=5e-4, b1=0.9, clip=5.0, weight_decay=0.1),
            disc=Adam(lr=1e-3, b1=0.9, clip=5.0),
            final_temperature=0.4,
            anneal=300,
            classes=3,
        ),
        data="package_texts",
        shape=(24,),
        batch=64,
        loop=Loop(steps=3000, log_every=100, save_every=500, sample_every=500, keep=10),
    )
