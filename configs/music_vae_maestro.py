"""Piano music at the scale of MAESTRO: 32 bars of sixteenths with one latent and a conductor, in bfloat16; for
accelerators.

jaxgen train configs/music_vae_maestro.py --data path/to/maestro-v3.0.0

Not trained here: its step is lowered for CUDA and TPU by a test. The widths are MusicVAE's (Roberts et al. 2018), with
one layer where it has two.
"""

from jaxgen.config import Adam, Config, Loop, PassageVAE, VariationalSequence


def get_config() -> Config:
    return Config(
        domain="music/passages",
        model=PassageVAE(z_dim=512, encoder=2048, decoder=1024, conductor=1024, every=16, dropout=0.2, grid=4),
        game=VariationalSequence(
            tx=Adam(lr=1e-3, b1=0.9, warmup=1000, decay=100_000, clip=1.0),
            beta=0.2,
            beta_warmup=10_000,
            free_nats=128.0,
            transpose=5,
        ),
        data="maestro-v3.0.0",
        shape=(512, 88),
        batch=512,
        precision="bf16",
        loop=Loop(steps=100_000, steps_per_call=20, log_every=500, save_every=5000, sample_every=5000),
    )
