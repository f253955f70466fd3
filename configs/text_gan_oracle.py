"""The oracle benchmark of text at a vocabulary of 500, 20 tokens that a random LSTM wrote: the GAN of gate 3.

jaxgen train configs/text_gan_oracle.py --data path/to/oracle.npz

Maximum likelihood until it improves no further, then the critic, which judges what is written (`jaxgen sample RUN
--judged`). It finds next to nothing that the generator gets wrong: benchmarks/NOTES.md. Results of three seeds:
benchmarks/results/quality/text_gan-seed*.json.
"""

from jaxgen.config import Adam, AdversarialSequence, Config, Loop, Recurrent


def get_config() -> Config:
    return Config(
        domain="text/tokens",
        model=Recurrent(
            vocabulary=500, embedding=32, width=32, critic=(32, 32, 32), critic_embedding=32, critic_dropout=0.5
        ),
        game=AdversarialSequence(
            likelihood=Adam(lr=3e-2, b1=0.9, clip=5.0, weight_decay=0.03),
            pretrain=28_000,
            critic_pretrain=4000,
            mle=20.0,
            gen=Adam(lr=1e-3, b1=0.9, clip=5.0, weight_decay=0.1),
            disc=Adam(lr=5e-4, b1=0.9, clip=5.0, weight_decay=0.1),
            final_temperature=0.3,
            anneal=1000,
        ),
        data="oracle.npz",
        shape=(20,),
        batch=64,
        loop=Loop(steps=32_000, steps_per_call=20, log_every=400, save_every=4000, sample_every=8000, keep=6),
    )
