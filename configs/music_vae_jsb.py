"""JSB chorales in quarter notes, a latent for each slice: the run of gate 5.

jaxgen train configs/music_vae_jsb.py --data path/to/jsb-chorales-quarter.json

Results of three seeds: benchmarks/results/quality/music_vae-seed*.json.
"""

from jaxgen.config import Adam, Config, Loop, SliceVAE, VariationalSequence


def get_config() -> Config:
    return Config(
        domain="music/slices",
        model=SliceVAE(z_dim=32, width=160, hidden=192, dropout=0.1, grid=1),
        game=VariationalSequence(
            tx=Adam(lr=3e-3, b1=0.9, warmup=200, decay=6000, clip=1.0),
            beta_warmup=1800,
            free_nats=3.0,
            free_until=1800,
            transpose=5,
        ),
        data="bach_chorales",
        shape=(64, 88),
        batch=16,
        loop=Loop(steps=6000, log_every=200, save_every=2000, sample_every=2000),
    )
