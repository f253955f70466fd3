"""Gate 11, the vocoder: held-out recordings (Free Spoken Digit Dataset) from their log-mel spectrograms, against
Griffin-Lim, on pieces of three seconds that are recordings one after another."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import gates
from benchmarks.gates import Part, Verdict, speech_gan
from jaxgen import assemble
from jaxgen.domains import _speech, _vocoder
from jaxgen.errors import UserError
from jaxgen.speech.griffin_lim import magnitudes
from jaxgen.speech.mel import Mel
from jaxgen.trained import load

DATA = speech_gan.DATA
LOWER, HIGHER = {"mr_stft": "multi-resolution STFT", "mcd": "mel-cepstral distortion"}, {"pesq": "PESQ", "stoi": "STOI"}


def measure(seed: int, data: Path, workdir: Path) -> Verdict:
    """Trains `vocoder_fsdd` with the seed; judges the last checkpoint."""
    missing = [name for name in ("pesq", "pystoi") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f'The gate needs {" and ".join(missing)}. Install them: pip install "jaxgen[speech]".')
    cfg = gates.config("vocoder_fsdd", speech_gan.recordings(data), seed)
    steps, minutes = gates.trained(cfg, workdir)
    domain, mel = assemble.domain(cfg), _speech.mel_of(cfg)
    batch = domain.to_batch(domain.load(cfg, "test"))
    true, last = np.asarray(batch["image"]), load(workdir)
    x = last.sources(batch, _vocoder.SEED)

    def resynthesised(step: int) -> np.ndarray:
        return load(workdir, step).translate(x, _vocoder.SEED, chunk=_vocoder.AT_ONCE)

    made = {step: resynthesised(step) for step in steps}
    rows = {step: _vocoder.compared(made[step], true, mel) for step in steps}
    impostors = {
        "griffin_lim": _vocoder.compared(_speech.by_griffin_lim(x, mel, seed), true, mel),
        "another recording": _vocoder.compared(np.roll(made[steps[-1]], 1, axis=0), true, mel),
        "random phases": _vocoder.compared(random_phases(x, mel, seed), true, mel),
    }
    bar, best = impostors["griffin_lim"], min(rows, key=lambda step: float(rows[step]["mr_stft"]))
    less = [Part(f"{said} below Griffin-Lim's", name, high=gates.below(bar[name])) for name, said in LOWER.items()]
    more = [Part(f"{said} above Griffin-Lim's", name, low=gates.above(bar[name])) for name, said in HIGHER.items()]
    return Verdict(
        ours={**rows[steps[-1]], "real_time_factor": _vocoder.real_time_factor(last, x[:1])},
        parts=(*less, *more),
        impostors=impostors,
        others={
            "the recordings themselves": _vocoder.compared(true, true, mel),
            f"ours, best STFT (step {best})": rows[best],
        },
        facts={
            "real": f"{len(true)} pieces of {true.shape[1] / mel.rate:.3f} s, of held-out recordings voice by voice",
            "mel": f"{mel.bands} bands, windows of {mel.window} samples, {mel.hop} apart, at {mel.rate} a second",
            "griffin_lim": "fast Griffin-Lim, 60 iterations",
            "steps": steps[-1],
            "batch": cfg.batch,
            "training_minutes": minutes,
            "checkpoints": {str(step): rows[step] for step in steps},
        },
    )


def random_phases(x: np.ndarray, mel: Mel, seed: int) -> np.ndarray:
    """Log-mel spectrograms [N, F, bands] -> waveforms [N, F hop]: noise with their magnitudes, as loud as they are.

    Frames that do not fit one another cancel in part: without that it would be quieter, and worse by that alone.
    """
    size = magnitudes(jnp.asarray(x), mel)
    phase = jax.random.uniform(jax.random.key(seed), size.shape, maxval=2 * np.pi)
    made = mel.istft(size * jnp.exp(1j * phase), x.shape[1] * mel.hop)
    power, wanted = (jnp.square(jnp.abs(spectrum)).sum((1, 2))[:, None] for spectrum in (mel.stft(made), size))
    return np.asarray(made * jnp.sqrt(wanted / power))
