"""From log-mel spectrograms to waveforms, 8,000 samples a second, of six voices (Free Spoken Digit Dataset): the
vocoder of gate 11.

jaxgen train configs/vocoder_fsdd.py --data path/to/recordings.zip

Results of three seeds: benchmarks/results/quality/vocoder-seed*.json.
"""

from jaxgen.config import Adam, Config, Loop, Paired, Vocoder


def get_config() -> Config:
    return Config(
        domain="speech/vocoder",
        model=Vocoder(width=128, blocks=4),
        game=Paired(
            loss="least_squares",
            gen=Adam(lr=1e-3, b1=0.8, b2=0.99, decay=840),
            disc=Adam(lr=1e-3, b1=0.8, b2=0.99, decay=840),
            l1=100.0,
            matching=2.0,
        ),
        data="recordings.zip",
        shape=(4096,),
        batch=16,
        loop=Loop(steps=800, sample_every=400, save_every=400),
    )
