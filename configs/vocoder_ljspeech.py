"""A vocoder at the scale of LJSpeech: 22,050 samples a second, 80 mel bands, Vocos' widths, in bfloat16; for
accelerators.

jaxgen train configs/vocoder_ljspeech.py --download

TFDS needs TensorFlow to prepare ljspeech, which is then read without; a tenth is held out. Any folder of WAV files will
do as well (--data path/to/LJSpeech-1.1/wavs). Not trained here: its step is lowered for CUDA and TPU by a test.
"""

from jaxgen.config import Adam, Config, Loop, Paired, Vocoder


def get_config() -> Config:
    return Config(
        domain="speech/vocoder",
        model=Vocoder(
            width=512,
            blocks=8,
            critic=(32, 128, 256, 512),
            rate=22050,
            mels=80,
            window=1024,
            hop=256,
        ),
        game=Paired(
            loss="least_squares",
            gen=Adam(lr=2e-4, b1=0.8, b2=0.99, decay=1000000),
            disc=Adam(lr=2e-4, b1=0.8, b2=0.99, decay=1000000),
            l1=45.0,
            matching=2.0,
            ema_decay=0.9998,
        ),
        data="ljspeech",
        shape=(16384,),
        batch=64,
        precision="bf16",
        loop=Loop(steps=1_000_000, steps_per_call=50, log_every=500, save_every=10_000, sample_every=10_000),
    )
