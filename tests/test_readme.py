"""What README.md shows works: every Python block runs, and every command does, made short."""

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgen import pcm
from jaxgen.data import synthetic
from jaxgen.levels import text
from jaxgen.levels.palette import picture_from_map
from jaxgen.levels.tiles import TILESETS
from jaxgen.music import midi
from jaxgen.music.roll import from_pitches

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"

# Starts of commands that are not run here: CI runs the first four, the others need another machine or a person.
ELSEWHERE = (
    "python -m pip install",
    "bash .ci/run",
    "python -m pytest",
    "python -m benchmarks",
    "pip install",
    "git clone",
    "cd ",
    "tensorboard ",
    "gcloud ",
    "sbatch ",
)
SHORT = ["steps", "steps-per-call", "log-every", "sample-every", "save-every"]


def blocks(*languages):
    """The contents of the fenced blocks of these languages, in order."""
    text = README.read_text() if README.exists() else ""
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def commands():
    """Every command of the shell blocks, without output and comments: (its words, what it sets in the environment)."""
    found = []
    for block in blocks("bash", "sh", "shell", "console"):
        lines = block.replace("\\\n", " ").splitlines()
        if any(line.startswith("$ ") for line in lines):
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        for line in lines:
            tokens = shlex.split(line, comments=True)
            for between, group in itertools.groupby(tokens, lambda token: token == "&&"):
                words, env = list(group), {}
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    name, value = words.pop(0).split("=", 1)
                    env[name] = value
                if words and not between:
                    found.append((words, env))
    return found


def elsewhere(words):
    several = "--processes" in words or any("gs://" in word for word in words)  # tests/test_processes.py has these
    return shlex.join(words).startswith(ELSEWHERE) or several


def run(command, cwd, stdin="", **env):
    known = {"JAX_PLATFORMS": "cpu", "JAXGEN_CACHE": str(cwd / "cache"), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    known["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    known["XLA_FLAGS"] = "--xla_backend_optimization_level=0"  # ten steps: the compiler's time is what counts
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | env | known, input=stdin, capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_readme_shows_both_ways_to_use_it():
    assert README.exists()
    shown = "\n".join(blocks("python"))
    assert "from jaxgen.steps.gan import" in shown
    assert "train_step" in shown
    assert ["jaxgen", "train"] in [words[:2] for words, _ in commands()]


def test_every_command_is_run_here_or_known_to_be_run_elsewhere():
    unknown = [words for words, _ in commands() if words[0] != "jaxgen" and not elsewhere(words)]
    assert unknown == []


def test_python_blocks_run(tmp_path):
    """One after the other, as one program on four devices: a later block may use what an earlier one made."""
    parts = blocks("python")
    if not parts:
        pytest.fail("README.md has no Python blocks")
    (tmp_path / "readme.py").write_text("\n\n".join(parts))
    run([sys.executable, "-W", "error", "readme.py"], tmp_path, JAX_NUM_CPU_DEVICES="4")


def data_in(folder):
    """What each config of the README trains on here: (its arguments, by name of the config)."""
    images = synthetic.images((28, 28, 1), 400)["image"]
    np.savez(folder / "images.npz", image=images)
    one = np.zeros(len(images), np.int32)  # a single class: no classifier is trained to measure with
    np.savez(folder / "labelled.npz", image=images, label=one)
    np.savez(folder / "tissue.npz", **synthetic.images((16, 16, 3), 200, classes=2))
    (folder / "maps").mkdir()
    for i, level in enumerate(np.random.default_rng(0).integers(0, 10, (40, 16, 16), np.uint8)):
        (folder / "maps" / f"{i}.txt").write_text(text.dump(level, TILESETS["crafter"]))
    np.savez(folder / "few.npz", **synthetic.images((32, 32, 3), 40))
    rng, restorations = np.random.default_rng(1), ("super_resolution", "inpainting")
    for kind in ("trainA", "trainB", "testA", "testB"):
        (folder / "kinds" / kind).mkdir(parents=True)
        for i in range(16):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / "kinds" / kind / f"{i}.png")
    photo = rng.integers(0, 256, (37, 51, 3), np.uint8)
    Image.fromarray(photo).save(folder / "photo.png")
    Image.fromarray(np.pad(np.full((9, 20), 255, np.uint8), ((10, 18), (10, 21)))).save(folder / "mask.png")
    Image.fromarray(picture_from_map(rng.integers(0, 10, (6, 9), np.uint8))).save(folder / "my_map.png")
    tunes = [f"{name}.mid" for name in ("mine", "yours", "tune", *(f"midi/{i}" for i in range(12)))]
    for place, file in enumerate(folder / name for name in tunes):
        midi.write(file, from_pitches([[48 + place, 55 + place, 64 + (place + t) % 5] for t in range(80)]), grid=4)
    (folder / "films").mkdir()
    frames = [Image.fromarray(np.roll(photo, 2 * t, axis=1)).convert("L") for t in range(12)]
    for name in ("my.gif", *(f"films/{i}.gif" for i in range(60))):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
    (folder / "my.wav").write_bytes(pcm.to_wav(0.5 * np.sin(np.arange(9000) / 7), 16000))
    small_clips = ["--data", "films", "--model.gen", "8", "8", "--model.disc", "8", "8", "--batch", "4"]
    small = ["--model.width", "16", "--model.vocabulary", "500", "--game.pretrain", "4", "--game.critic-pretrain", "2"]
    return {
        "music_vae": ["--data", "midi", "--batch", "8", "--model.encoder", "8", "--model.decoder", "8"],
        "music_vae_accompaniment": ["--data", "midi", "--batch", "8", "--model.width", "8"],
        **dict.fromkeys(("text_gan", "nlp_gan", "nlg_gan"), small),
        "video_gan": [*small_clips, "--game.classes", "0"],  # too few to be measured, as below
        "frame_prediction": small_clips,
        "speech_gan": ["--model.gen", "8", "8", "--model.disc", "8", "8", "--batch", "4"],
        "vocoder": ["--model.width", "8", "--model.critic", "4", "4", "--batch", "4"],
        "face_gan": ["--data", "images.npz", "--shape", "16", "16", "1"],
        "medical_gan": ["--data", "tissue.npz", "--shape", "16", "16", "3"],
        "level_gan": ["--data", "maps"],
        # Too few are held out to be measured: their networks of features would take a minute each.
        **{name: ["--data", "few.npz", "--shape", "32", "32", "3"] for name in restorations},
        "style_transfer_gan": ["--data", "kinds", "--shape", "32", "32", "3"],
        "scene_gan": [],
    }


RUN_ALL = """
import json, sys
from jaxgen.cli import main
from jaxgen.data import crafter_maps, crafter_views
crafter_maps.SEEDS = {"train": (0,), "test": (1000,)}  # a minute less
crafter_views.COUNTS = {"train": 20, "test": 15}
for words in json.load(sys.stdin):
    print("$", *words, flush=True)
    if main(words):
        sys.exit(" ".join(words))
"""


def test_commands_run(tmp_path):
    """In order and in one directory, on synthetic data and for ten steps; all that need one device in one process."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    data = data_in(tmp_path)
    ours = [words[1:] for words, env in commands() if words[0] == "jaxgen" and not elsewhere(words) and not env]
    assert ours
    one_device, two_devices, checkpoints = [], [], 0
    for words in ours:
        if "--help" in words:
            run([sys.executable, "-m", "jaxgen.cli", *words], tmp_path)  # leaves by SystemExit
            continue
        if words[0] == "train":
            plain = "labelled.npz" if any("classes" in word for word in words) else "images.npz"
            words = [*words, *data.get(words[1], ["--data", plain]), *(f"--loop.{name}=10" for name in SHORT)]
            checkpoints += 1
        if "--playable" in words or "--goal" in words:
            words = [*words, "--evaluations", "200"]
        (two_devices if "--parallel" in words else one_device).append(words)
    said = ""
    for devices, some in (("1", one_device), ("2", two_devices)):
        said += run([sys.executable, "-c", RUN_ALL], tmp_path, stdin=json.dumps(some), JAX_NUM_CPU_DEVICES=devices)
    found = re.findall(r"^(.+/runs/.+/checkpoints/\d+)$", said, flags=re.MULTILINE)
    assert len(found) == checkpoints
    assert all((tmp_path / path).is_dir() for path in found)
