"""What a config says of its networks: which, and how large. Frozen dataclasses of plain values, as all of a config."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MLP:
    """Fully connected generator and critic: the article's pair."""

    z_dim: int = 100
    gen: tuple[int, ...] = (256, 512, 1024)
    disc: tuple[int, ...] = (1024, 512, 256)
    dropout: float = 0.3  # in the critic
    spectral_norm: bool = False  # in the critic


@dataclass(frozen=True)
class Conv:
    """DCGAN generator and critic (Radford et al. 2016)."""

    z_dim: int = 100
    width: int = 64  # channels next to the image; doubled at each halving of its size
    layers: int = 2  # halvings
    dropout: float = 0.0  # in the critic
    spectral_norm: bool = False  # in the critic, in place of batch normalisation


@dataclass(frozen=True)
class Residual:
    """Residual generator and critic of the R3GAN kind (Huang et al. 2024)."""

    z_dim: int = 64
    gen: tuple[int, ...] = (256, 128, 64, 32)  # channels, the coarsest resolution first; one halving between each two
    disc: tuple[int, ...] = (256, 128, 64, 32)
    blocks: tuple[int, ...] = (1,)  # at each resolution; the last number holds for all finer ones
    patch: int = 1  # of images: pixels along the side of what one place of the finest resolution holds
    norm: Literal["none", "batch"] = "none"  # in the generator; "batch" depends on z and the class
    placed: str = ""  # of levels: tiles that stand in one cell each, as @$$$$.... of Sokoban; others stand anywhere
    temperature: float = 1.0  # of levels: above 1, tiles that are rare in the data stay within the generator's reach


@dataclass(frozen=True)
class Clip:
    """Clips of one content and a motion by a recurrent core; a critic of frames and one of clips (MoCoGAN: Tulyakov et
    al. 2018)."""

    content: int = 32  # entries of z that hold for the whole clip
    motion: int = 8  # entries of z for the start of the motion, and for each frame
    hidden: int = 64  # of the recurrent core
    moves: Literal["shape", "place"] = "shape"  # what motion changes: all that is seen, or where one thing is
    gen: tuple[int, ...] = (128, 64, 32)  # channels, the coarsest resolution first; one halving between each two
    disc: tuple[int, ...] = (128, 64, 32)  # of the critic of frames
    clip: tuple[int, ...] = (128, 64, 32)  # of the critic of clips, which halves time too
    frames: int = 2  # of each clip that the critic of frames sees
    patch: int = 2  # pixels along the side of what one place of the finest resolution holds
    norm: Literal["none", "batch"] = "none"  # batch: what draws knows its latents in each block, else at the start
    still: bool = False  # of shapes: a picture that is drawn once a clip is seen where a mask says (VGAN)


@dataclass(frozen=True)
class Spectrogram:
    """Log-mel spectrograms by a residual pair, as `Residual`; the shape is frames, mel bands, 1."""

    z_dim: int = 64
    gen: tuple[int, ...] = (256, 128, 64, 32)
    disc: tuple[int, ...] = (256, 128, 64, 32)
    blocks: tuple[int, ...] = (1,)
    patch: int = 2
    norm: Literal["none", "batch"] = "batch"
    rate: int = 8000  # samples a second
    window: int = 256  # samples of a frame, a power of two
    hop: int = 64  # samples from one frame to the next


@dataclass(frozen=True)
class Wave:
    """Raw waveforms by strided convolutions along time (WaveGAN: Donahue et al. 2019)."""

    z_dim: int = 100
    width: int = 64  # channels next to the waveform; doubled at each layer
    layers: int = 5  # each is four times as long as the one before
    shuffle: int = 2  # largest shift of the critic's features in time
    rate: int = 8000  # samples a second


@dataclass(frozen=True)
class Vocoder:
    """From log-mel spectrograms to waveforms: residual blocks at the frames' rate and an inverse STFT (Vocos: Siuzdak
    2024), critics of periods and of resolutions (HiFi-GAN: Kong et al. 2020)."""

    width: int = 128
    blocks: int = 4  # half of them before the phases
    iterations: int = 16  # of Griffin-Lim's, with which the phases begin; 0: the network makes them alone
    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    scales: int = 3  # critics of the waveform as it is, and averaged over 2, 4, ... samples
    critic: tuple[int, ...] = (16, 32, 64)  # channels of each critic's layers
    rate: int = 8000
    mels: int = 40
    window: int = 256
    hop: int = 64


@dataclass(frozen=True)
class UNet:
    """From image to image: a U-Net (Ronneberger et al. 2015) and a critic of patches (Isola et al. 2017)."""

    gen: tuple[int, ...] = (128, 64, 32)  # channels, the coarsest resolution first; one halving between each two
    disc: tuple[int, ...] = (128, 64, 32)
    blocks: tuple[int, ...] = (1,)  # at each resolution; the last number holds for all finer ones
    patch: int = 1  # pixels along the side of what one place of the finest resolution holds
    residual: bool = True  # what the generator makes is added to its input


@dataclass(frozen=True)
class Spade:
    """From a map of kinds to a picture: spatially-adaptive normalisation (Park et al. 2019), a critic of patches."""

    z_dim: int = 16  # noise at each place of the map; half of it is the same everywhere
    gen: tuple[int, ...] = (128, 96, 64)  # channels, that of the map's own resolution first; doubled between each two
    disc: tuple[int, ...] = (128, 96, 64)  # channels, the coarsest resolution first
    blocks: tuple[int, ...] = (1,)  # at each resolution; the last number holds for all finer ones
    hidden: int = 64  # channels of what the map is made into, from which scales and shifts are read
    patch: int = 2  # pixels along the side of what one place of the finest resolution holds


@dataclass(frozen=True)
class MLPVAE:
    """Fully connected encoder and decoder."""

    z_dim: int = 40
    widths: tuple[int, ...] = (512, 512)  # the decoder's are the same, reversed


@dataclass(frozen=True)
class ConvVAE:
    """Strided convolutional encoder, transposed convolutional decoder."""

    z_dim: int = 40
    widths: tuple[int, ...] = (32, 64)  # one halving each
    hidden: int = 256  # of the two dense layers next to the latents


@dataclass(frozen=True)
class SliceVAE:
    """A latent for each slice of a sequence (Fraccaro et al. 2016)."""

    z_dim: int = 32
    width: int = 128  # of the LSTMs
    hidden: int = 128
    dropout: float = 0.2
    grid: int = 1  # slices in a quarter note, of music


@dataclass(frozen=True)
class PassageVAE:
    """One latent for a passage (MusicVAE: Roberts et al. 2018)."""

    z_dim: int = 64
    encoder: int = 128  # width of each of the two ways
    decoder: int = 128
    conductor: int = 0  # > 0: an LSTM of this width first plans segments
    every: int = 16  # slices of a segment
    dropout: float = 0.2
    blind: float = 0.0  # share of the slices that the decoder isn't shown in training
    grid: int = 4  # slices in a quarter note, of music


@dataclass(frozen=True)
class Recurrent:
    """Generator of tokens by a recurrent core, convolutional critic over soft tokens."""

    vocabulary: int = 2000  # words, the end and the unknown word among them
    level: Literal["word", "character"] = "word"  # what a token is
    embedding: int = 64
    core: Literal["lstm", "memory"] = "lstm"
    width: int = 256  # of the core, or of each slot of a memory
    slots: int = 1  # of a memory
    heads: int = 2  # of a memory
    dropout: float = 0.0  # in the generator
    critic: tuple[int, ...] = (64, 64, 64)  # channels of each span of tokens: 2, 3, 4, ...
    critic_embedding: int = 64
    critic_dropout: float = 0.25
