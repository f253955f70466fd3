"""Ten spoken digits by six voices as log-mel spectrograms, a class for each digit of each voice (Free Spoken Digit
Dataset): the run of gate 11.

jaxgen train configs/speech_gan_fsdd.py --data path/to/recordings.zip

`jaxgen sample RUN --label three --voice theo --vocoder runs/vocoder_fsdd` says what is asked for. Results of three
seeds: benchmarks/results/quality/speech_gan-seed*.json.
"""

from jaxgen.config import Adam, Adversarial, Config, Loop, Spectrogram


def get_config() -> Config:
    return Config(
        domain="speech/spectrograms",
        model=Spectrogram(z_dim=64, gen=(160, 80, 48, 24), disc=(160, 80, 48, 24), patch=1, norm="batch"),
        game=Adversarial(
            loss="relativistic",
            gen=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=5600),
            disc=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=5600),
            penalty="r1+r2",
            penalty_weight=1.0,
            penalty_every=8,
            penalty_decay=5500,
            classes=60,
        ),
        data="recordings.zip",
        shape=(80, 40, 1),
        batch=32,
        loop=Loop(steps=5500, sample_every=1100, save_every=2750),
    )
