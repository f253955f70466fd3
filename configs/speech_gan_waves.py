"""Raw waveforms of spoken digits: WaveGAN's pair (Donahue et al. 2019), by class, in bfloat16; for accelerators.

jaxgen train configs/speech_gan_waves.py --download

Two seconds at 8,000 samples; ten digits by five speakers, each a class. TFDS needs TensorFlow to prepare spoken_digit
(Jackson et al.), which is then read without. The newer recordings.zip of the same set (--data) has six speakers
(--game.classes 60). Not trained here at this size: its step is lowered for CUDA and TPU by a test, and a tiny
one trains in the domain's tests.
"""

from jaxgen.config import Adam, Adversarial, Config, Loop, Wave


def get_config() -> Config:
    return Config(
        domain="speech/waves",
        model=Wave(z_dim=100, width=64, layers=5, shuffle=2),
        game=Adversarial(
            loss="relativistic",
            gen=Adam(lr=1e-4, b1=0.5, b2=0.9),
            disc=Adam(lr=1e-4, b1=0.5, b2=0.9),
            penalty="r1+r2",
            penalty_weight=0.5,
            penalty_every=4,
            classes=50,
            ema_decay=0.9998,
        ),
        data="spoken_digit",
        shape=(16384, 1),
        batch=128,
        precision="bf16",
        loop=Loop(steps=200_000, steps_per_call=50, log_every=500, save_every=10_000, sample_every=10_000),
    )
