"""Bach's chorales in sixteenth notes, four bars at a time with one latent each: samples, and what lies between two.

jaxgen train configs/music_vae.py

Passages with four voices that move in quarters and eighths, each in a key for a while, the bass now and then missing;
a reconstruction keeps range, key and rhythm rather than each note (benchmarks/results/samples/music_vae).
"""

from jaxgen.config import Adam, Config, Loop, PassageVAE, VariationalSequence


def get_config() -> Config:
    return Config(
        domain="music/passages",
        model=PassageVAE(z_dim=64, encoder=128, decoder=256, dropout=0.2, blind=0.2),
        game=VariationalSequence(
            tx=Adam(lr=3e-3, b1=0.9, warmup=200, decay=5000, clip=1.0),
            beta=0.2,
            beta_warmup=1500,
            free_nats=64.0,
            transpose=5,
        ),
        data="bach_chorales",
        shape=(64, 88),
        batch=32,
        loop=Loop(steps=5000, log_every=100, save_every=1000, sample_every=1000),
    )
