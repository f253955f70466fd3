"""How long does a training step of each system take?"""

from dataclasses import replace

from benchmarks.suites import Case
from jaxgen.assemble import config_named
from jaxgen.config import (
    MLPVAE,
    Adam,
    Adversarial,
    AdversarialSequence,
    Config,
    Conv,
    ConvVAE,
    Recurrent,
    Variational,
    Wave,
)


def _named(name: str) -> Config:
    return config_named(name)[1]


DIGITS_GAN = replace(_named("digits_gan"), batch=128)
IMAGE_VAE = replace(_named("image_vae"), batch=128)
# The shape of Flax's examples/vae: 784-500-20-500-784, Adam at 1e-3, binary pixels drawn once. Ours has GELU for ReLU.
FLAX_VAE = replace(IMAGE_VAE, model=MLPVAE(z_dim=20, widths=(500,)), game=Variational())
DCGAN = Config(
    domain="digits",
    model=Conv(width=64, layers=2),
    game=Adversarial(loss="nonsaturating", gen=Adam(lr=2e-4, b1=0.5), disc=Adam(lr=2e-4, b1=0.5)),
    batch=128,
)
DCGAN_64 = replace(DCGAN, model=Conv(width=64, layers=4), shape=(64, 64, 3), batch=32)  # 0.7 s a step
ARTICLE = replace(DCGAN_64, model=Conv(z_dim=64 * 64 * 3, width=64, layers=4))
SPEECH_GAN_WAVES = replace(  # a second of speech, a quarter of the width
    _named("speech_gan_waves"),
    model=Wave(z_dim=100, width=16, layers=5),
    shape=(8192, 1),
    batch=16,
    precision="fp32",
)

EVER = 1 << 30
LIKELIHOOD = AdversarialSequence(pretrain=EVER)  # a text GAN's phases, one a row
GUMBEL = AdversarialSequence(pretrain=0, critic_pretrain=0, mle=1.0)
REINFORCE = AdversarialSequence(pretrain=0, critic_pretrain=0, estimator="reinforce", rollouts=16)
NUMBERS = Config(  # texts of the oracle
    domain="text/tokens",
    model=Recurrent(500, embedding=32, width=32, critic=(32, 32, 32), critic_embedding=32),
    game=LIKELIHOOD,
    shape=(20,),
    batch=64,
)
WORDS = replace(NUMBERS, model=Recurrent(2000, embedding=64, width=256))  # captions


def _played(name: str) -> Config:
    """A shipped text GAN in its third phase."""
    config = _named(name)
    return replace(config, game=replace(config.game, pretrain=0, critic_pretrain=0))


CASES = (
    Case("digits_gan", DIGITS_GAN, title="1 digits GAN (MLP)"),
    Case("dcgan_28", DCGAN, check_rate=0.0001, title="1 DCGAN 28x28, width 64"),
    Case("dcgan_64", DCGAN_64, check_rate=0.00003, title="1 DCGAN 64x64, width 64"),
    Case("article_encoder_decoder_64", ARTICLE, "article", check_rate=0.00003, title="1 encoder-decoder GAN 64x64"),
    Case("image_vae", IMAGE_VAE, title="2 image VAE (MLP)"),
    Case("flax_vae", FLAX_VAE, title="2 VAE of Flax's example"),
    Case("conv_vae", replace(IMAGE_VAE, model=ConvVAE()), title="2 conv VAE"),
    Case("text_mle", NUMBERS, check_rate=10.0, title="3 text of 500 words, likelihood"),
    Case("text_mle_words", WORDS, check_rate=10.0, title="3 text of 2,000 words, likelihood"),
    Case("text_gumbel", replace(NUMBERS, game=GUMBEL), check_rate=0.3, title="3 text GAN, Gumbel-softmax"),
    Case("text_reinforce", replace(NUMBERS, game=REINFORCE), title="3 text GAN, REINFORCE, 16 rollouts"),
    Case("face_gan", _named("face_gan_olivetti"), title="4 faces 64x64"),
    Case("music_slices", _named("music_vae_jsb"), title="5 music, a latent for each slice"),
    Case("music_passages", _named("music_vae"), title="5 music, a latent for each passage"),
    Case("video_gan", _named("video_gan"), check_rate=0.0005, title="6 clips of moving digits"),
    Case("video_gan_sprites", _named("video_gan_sprites"), check_rate=0.0005, title="6 clips of sprites"),
    Case("frame_prediction", _named("frame_prediction"), check_rate=0.0001, title="6 the next frame"),
    Case("nlp_gan", _played("nlp_gan"), check_rate=0.3, title="7 replies to prompts"),
    Case(
        "style_transfer_gan", _named("style_transfer_gan_tiles_unpaired"), check_rate=0.0001, title="8 tiles, unpaired"
    ),
    Case("style_transfer_gan_paired", _named("style_transfer_gan_tiles"), check_rate=0.0001, title="8 tiles, paired"),
    Case("super_resolution", _named("super_resolution"), check_rate=0.0001, title="8 photographs twice as large"),
    Case("medical_gan", _named("medical_gan_xray"), title="9 X-rays by class"),
    Case("scene_gan", _named("scene_gan"), check_rate=0.0001, title="10 scenes from maps"),
    Case("speech_gan", _named("speech_gan"), title="11 spoken characters"),
    Case("speech_gan_waves", SPEECH_GAN_WAVES, title="11 waveforms, a narrow WaveGAN"),
    Case("vocoder", _named("vocoder"), title="11 vocoder"),
    Case("nlg_gan", _played("nlg_gan"), check_rate=0.3, title="12 texts by category"),
    Case("level_gan", _named("level_gan_mario"), check_rate=0.0005, title="13 levels of Mario"),
)
