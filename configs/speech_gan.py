"""Spoken digits and letters as log-mel spectrograms, by class: 36 characters, a third of a second each, by one voice.

jaxgen train configs/speech_gan.py

What can be heard is written with it: a WAV by Griffin-Lim. `jaxgen sample RUN --label 7 --vocoder runs/vocoder` has a
network make the sound (configs/vocoder.py).
"""

from jaxgen.config import Adam, Adversarial, Config, Loop, Spectrogram


def get_config() -> Config:
    return Config(
        domain="speech/spectrograms",
        model=Spectrogram(z_dim=64, gen=(160, 80, 48, 24), disc=(160, 80, 48, 24), patch=1, norm="batch"),
        game=Adversarial(
            loss="relativistic",
            gen=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=3100),
            disc=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=3100),
            penalty="r1+r2",
            penalty_weight=1.0,
            penalty_every=8,
            penalty_decay=3000,
            classes=36,
        ),
        data="spoken_characters",
        shape=(80, 40, 1),
        batch=32,
        loop=Loop(steps=3000, sample_every=1000, save_every=1000),
    )
