"""How long does a training step of each system take?"""

from dataclasses import replace

from benchmarks.suites import Case
from jaxgen.assemble import config_named
from jaxgen.config import Adam, Adversarial, AdversarialSequence, Config, Conv, ConvVAE, Recurrent, Wave

DIGITS_GAN = replace(config_named("digits_gan")[1], batch=128)
IMAGE_VAE = replace(config_named("image_vae")[1], batch=128)
DCGAN = Config(
    domain="digits",
    model=Conv(width=64, layers=2),
    game=Adversarial(loss="nonsaturating", gen=Adam(lr=2e-4, b1=0.5), disc=Adam(lr=2e-4, b1=0.5)),
    batch=128,
)
DCGAN_64 = replace(DCGAN, model=Conv(width=64, layers=4), shape=(64, 64, 3), batch=32)  # 0.7 s a step
ARTICLE = replace(DCGAN_64, model=Conv(z_dim=64 * 64 * 3, width=64, layers=4))
SPEECH_GAN_WAVES = replace(  # a second of speech, a quarter of the width
    config_named("speech_gan_waves")[1],
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

CASES = (
    Case("digits_gan", DIGITS_GAN),
    Case("image_vae", IMAGE_VAE),
    Case("conv_vae", replace(IMAGE_VAE, model=ConvVAE())),
    Case("dcgan_28", DCGAN, check_rate=0.0001),
    Case("dcgan_64", DCGAN_64, check_rate=0.00003),
    Case("level_gan", config_named("level_gan_mario")[1], check_rate=0.0005),
    Case("face_gan", config_named("face_gan_olivetti")[1]),
    Case("medical_gan", config_named("medical_gan_xray")[1]),
    Case("style_transfer_gan", config_named("style_transfer_gan_tiles_unpaired")[1], check_rate=0.0001),
    Case("style_transfer_gan_paired", config_named("style_transfer_gan_tiles")[1], check_rate=0.0001),
    Case("super_resolution", config_named("super_resolution")[1], check_rate=0.0001),
    Case("scene_gan", config_named("scene_gan")[1], check_rate=0.0001),
    Case("video_gan", config_named("video_gan")[1], check_rate=0.0005),
    Case("video_gan_sprites", config_named("video_gan_sprites")[1], check_rate=0.0005),
    Case("frame_prediction", config_named("frame_prediction")[1], check_rate=0.0001),
    Case("speech_gan", config_named("speech_gan")[1]),
    Case("speech_gan_waves", SPEECH_GAN_WAVES),
    Case("vocoder", config_named("vocoder")[1], check_rate=0.01),
    Case("music_slices", config_named("music_vae_jsb")[1]),
    Case("music_passages", config_named("music_vae")[1]),
    Case("text_mle", NUMBERS, check_rate=10.0),
    Case("text_mle_words", WORDS, check_rate=10.0),
    Case("text_gumbel", replace(NUMBERS, game=GUMBEL), check_rate=0.3),
    Case("text_reinforce", replace(NUMBERS, game=REINFORCE)),
    Case("article_encoder_decoder_64", ARTICLE, kind="article", check_rate=0.00003),
)
