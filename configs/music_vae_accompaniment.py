"""Three voices below a soprano, of Bach's chorales in eighth notes.

jaxgen train configs/music_vae_accompaniment.py

Notes of a slice are independent given its latent, so that three to five voices sound where Bach has four.
"""

from jaxgen.config import Adam, Config, Loop, SliceVAE, VariationalSequence


def get_config() -> Config:
    return Config(
        domain="music/accompaniment",
        model=SliceVAE(z_dim=32, width=128, hidden=160, dropout=0.1, grid=2),
        game=VariationalSequence(
            tx=Adam(lr=3e-3, b1=0.9, warmup=200, decay=4000, clip=1.0),
            beta_warmup=1200,
            free_nats=2.0,
            free_until=1200,
            transpose=5,
        ),
        data="bach_chorales",
        shape=(64, 88),
        batch=16,
        loop=Loop(steps=4000, log_every=200, save_every=1000, sample_every=1000),
    )
