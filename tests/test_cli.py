"""The command line, as a user has it: what it prints and writes, and how it refuses."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from jaxgen import cli, run_directory
from jaxgen.config import MLP, Adversarial
from jaxgen.data import synthetic

ROOT = Path(__file__).parent.parent

CONFIG = '''"""A GAN of a few hundred weights on 8x8 images."""

from jaxgen.config import MLP, Adversarial, Config, Loop


def get_config():
    return Config(
        domain="digits",
        data="DATA",
        shape=(8, 8, 1),
        model=MLP(z_dim=4, gen=(16,), disc=(16,)),
        game=Adversarial(penalty="r1", penalty_every=2),
        batch=8,
        loop=Loop(steps=4, steps_per_call=2, log_every=2, sample_every=2, save_every=2),
    )
'''


def jaxgen(*words, home, cwd=ROOT, **env):
    """Runs `jaxgen ...` in a process of its own."""
    known = {"JAX_PLATFORMS": "cpu", "JAXGEN_CACHE": str(home / "cache"), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    known["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"  # compile once for all tests
    return subprocess.run(
        [sys.executable, "-m", "jaxgen.cli", *map(str, words)],
        cwd=cwd,
        env=os.environ | known | env,
        capture_output=True,
        text=True,
        timeout=120,
    )


def opened(path):
    """(width, height, frames) of a picture."""
    with Image.open(path) as image:
        return *image.size, getattr(image, "n_frames", 1)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A directory with a config, `tiny.py`, and its data: 144 images to train on, 16 held out, no labels."""
    home = tmp_path_factory.mktemp("home")
    np.savez(home / "images.npz", image=synthetic.images((8, 8, 1), 160)["image"])
    (home / "tiny.py").write_text(CONFIG.replace("DATA", str(home / "images.npz")))
    return home


@pytest.fixture(scope="module")
def trained(home):
    """What `jaxgen train` said about a run in `home/run`."""
    done = jaxgen("train", home / "tiny.py", "--workdir", home / "run", home=home)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def refused(capfd, monkeypatch, home):
    """`refused("train", ...)`: runs it in this process, checks that it exits 2 before compiling; what it said."""
    monkeypatch.setenv("JAXGEN_CACHE", str(home / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    compiled = []

    def heard(event, duration_secs, **_):
        compiled.extend([event] if event.endswith("backend_compile_duration") else [])

    def refused(*words):
        try:
            code = cli.main([*map(str, words)])
        except SystemExit as left:  # tyro leaves so
            code = left.code
        out, err = capfd.readouterr()
        assert code == 2, err
        assert "Traceback" not in err
        assert compiled == []
        return " ".join((out + err).replace("│", " ").split())

    settings: Any = jax.config  # its attributes appear only when it runs
    before = settings.jax_compilation_cache_dir
    jax.monitoring.register_event_duration_secs_listener(heard)
    yield refused
    jax.monitoring.unregister_event_duration_listener(heard)
    jax.config.update("jax_compilation_cache_dir", before)


def test_a_run_prints_its_metrics_and_where_things_are(trained, home):
    run = home / "run"
    for name in ("density", "coverage", "kid", "frechet_pca", "memorisation_auc"):
        assert f"\n{name} " in f"\n{trained.stdout}"
    *_, gif, png, checkpoint = trained.stdout.splitlines()
    assert [gif, png, checkpoint] == [f"{run}/samples/4.gif", f"{run}/samples/4.png", f"{run}/checkpoints/4"]
    assert all(Path(path).exists() for path in (gif, png, checkpoint))
    assert "step 2/4" in trained.stderr
    assert "examples/s" in trained.stderr


def test_the_run_directory(trained, home):
    run = home / "run"
    assert {path.name for path in (run / "samples").iterdir()} == {"2.png", "4.png", "4.gif"}
    for step in ("2", "4"):
        assert (run / "checkpoints" / step / "state").is_dir()
        assert (run / "checkpoints" / step / "manifest").is_dir()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    for name in ("time", "examples_per_second", "loss/gen", "loss/disc", "logit/real", "logit/fake"):
        assert all(np.isfinite(line[name]) for line in lines)
    assert len(list(run.glob("events.out.tfevents.*"))) == 1
    config, environment = run_directory.read_config(run)
    assert (config.batch, config.model, config.game) == (
        8,
        MLP(4, (16,), (16,)),
        Adversarial(penalty="r1", penalty_every=2),
    )
    assert environment["versions"]["jax"] == jax.__version__
    assert opened(run / "samples" / "4.png") == (2 * 73, 2 * 73, 1)  # 8x8 images of 8x8, borders, twofold
    assert opened(run / "samples" / "4.gif") == (2 * 37, 2 * 37, 48)


def test_a_finished_run_says_so(trained, home):
    before = (home / "run" / "metrics.jsonl").read_text()
    again = jaxgen("train", home / "tiny.py", "--workdir", home / "run", home=home)
    assert again.returncode == 0, again.stderr
    assert "was finished at step 4. For more, raise --loop.steps." in again.stdout
    assert f"{home}/run/samples/4.png" in again.stdout
    assert (home / "run" / "metrics.jsonl").read_text() == before


def test_default_directory_named_configs_and_several_devices(home, tmp_path):
    """`digits_gan` by name from another directory, shrunk by options, under pmap, in `runs/digits_gan`.

    Too few images are held out for metrics, which is no reason to call the run a failure.
    """
    np.savez(tmp_path / "few.npz", image=synthetic.images((8, 8, 1), 20)["image"])
    words = ["--data", "few.npz", "--shape", 8, 8, 1, "--batch", 8, "--loop.keep", 1]
    words += ["--model.z-dim", 4, "--model.gen", 16, "--model.disc", 16, "--game.penalty-every", 2]
    words += [f"--loop.{name}=2" for name in ("steps", "steps-per-call", "log-every", "sample-every", "save-every")]
    done = jaxgen("train", "digits_gan", *words, home=home, cwd=tmp_path, JAX_NUM_CPU_DEVICES="2")
    assert done.returncode == 0, done.stderr
    assert "No metrics: heldout has 2 images; sample metrics need at least 12." in done.stdout
    assert done.stdout.endswith(f"{tmp_path}/runs/digits_gan/checkpoints/2\n")
    run = tmp_path / "runs" / "digits_gan"
    assert (run / "checkpoints" / "2").is_dir()
    config, environment = run_directory.read_config(run)
    assert (config.model, environment["devices"]) == (MLP(4, (16,), (16,)), 2)


def test_sample_and_evaluate(trained, home, tmp_path):
    moved = tmp_path / "moved.npz"
    (home / "images.npz").rename(moved)  # sampling needs no data
    try:
        for name in "ab":
            done = jaxgen("sample", home / "run", "--num", 9, "--seed", 3, "--out", tmp_path / f"{name}.png", home=home)
            assert (done.returncode, done.stdout) == (0, f"{tmp_path}/{name}.png\n"), done.stderr
    finally:
        moved.rename(home / "images.npz")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert opened(tmp_path / "a.png") == (2 * 28, 2 * 28, 1)  # 3x3 images of 8x8, borders, twofold
    out = tmp_path / "deep" / "out.json"
    done = jaxgen("evaluate", home / "run", "--json", out, home=home)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert (found["step"], found["heldout"], found["extractor"]) == (4, 16, "pca")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(found)
    assert done.stdout.splitlines() == [line for line in trained.stdout.splitlines() if line.split()[0] in found]


def test_a_run_that_explodes_says_where_and_its_advice_helps(home, tmp_path):
    """At this rate the networks stay finite for a while, but not Adam's mean of squared gradients."""
    run = tmp_path / "run"
    every = [f"--loop.{name}=1" for name in ("steps-per-call", "log-every", "sample-every", "save-every")]
    words = ["train", home / "tiny.py", "--workdir", run, "--game.disc.lr", "1e12", *every]
    done = jaxgen(*words, home=home)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    said = done.stderr.splitlines()[-1]
    saved = sorted(int(path.name) for path in (run / "checkpoints").iterdir() if path.name.isdecimal())
    assert saved
    assert re.search(rf"not finite.*the last good checkpoint is (step |.*/checkpoints/){saved[-1]}\.", said)
    assert "--loop.nonfinite skip" in said
    done = jaxgen(*words, "--loop.nonfinite", "skip", home=home)
    assert done.returncode == 0, done.stderr
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 4
    assert last["skipped"] >= 1


def test_help_lists_every_field(home):
    done = jaxgen("train", "digits_gan", "--help", home=home)
    assert done.returncode == 0, done.stderr
    for option in (
        "--workdir",
        "--batch",
        "--seed",
        "--loop.steps",
        "--loop.save-every",
        "--model.z-dim",
        "--game.gen.lr",
    ):
        assert option in done.stdout
    assert "{auto,single,pmap,jit}" in done.stdout


def test_a_typo_is_refused_at_once(home):
    start = time.perf_counter()
    done = jaxgen("train", "digits_gan", "--loop.stepz", 3, home=home)
    assert done.returncode == 2
    assert "Perhaps you meant" in done.stderr
    assert "--loop.steps" in done.stderr
    assert time.perf_counter() - start < 20  # s; 1 to 2 where nothing else runs


def test_usage(capsys):
    assert cli.main(["--help"]) == 0
    assert cli.main([]) == 2
    assert cli.main(["train"]) == 2
    assert cli.main(["train", "--help"]) == 0
    out = capsys.readouterr().out
    assert out.count("usage: jaxgen train CONFIG") == 4
    assert out.count("  digits_gan\n") == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "There is no command 'trian'; did you mean 'train'?"),
        (["train", "digits_gam"], "There is no config 'digits_gam'; did you mean 'digits_gan'?"),
        (["train", "nowhere.py"], "There is no file nowhere.py. Configs that came with jaxgen: "),
        (["train", "TINY", "--domain", "digit"], "There is no domain 'digit'; did you mean 'digits'?"),
        (["train", "TINY", "--game.loss", "hinges"], "There is no loss 'hinges'; did you mean 'hinge'?"),
        (["train", "TINY", "--game.penalty", "r1+r3"], "There is no penalty 'r3'; choose from r1, r2, wgan_gp."),
        (["train", "TINY", "--data", "mnist_5"], "There is no data set named 'mnist_5'; did you mean 'mnist"),
        (["train", "TINY", "--batch", "many"], "invalid literal for int()"),
        (["train", "TINY", "--batch", "6"], "A batch of 6 can't be split over 4 devices; sizes that fit: 4, 8, 12"),
        (["train", "TINY", "--batch", "200"], "fewer than a batch of 200; use --batch 144."),
        (["train", "TINY", "--parallel", "tpu"], "--parallel"),
        (
            ["train", "TINY", "--loop.steps", "5"],
            "--loop.steps 5 is no multiple of the 2 steps in a call; use",
        ),
        (["train", "TINY", "--loop.save-every", "3"], "--loop.save-every 3 is no multiple of the 2"),
        (["train", "TINY", "--loop.keep", "0"], "--loop.keep must be 1 or more"),
        (["train", "TINY", "--game.gen.lr", "0"], "The learning rate must be positive"),
        (["train", "TINY", "--game.critic-steps", "3"], "A batch of 8 can't be shared among 3 critic steps."),
        (["train", "TINY", "--game.classes", "10"], "the data have no labels; use --game.classes 0."),
        (["sample", "NOWHERE"], "There is no run at "),
        (["evaluate", "NOWHERE"], "There is no run at "),
        (["sample", "HOME"], "is not a run: it holds no config.json."),
        (["sample", "RUN", "--num", "0"], "--num must be 1 or more, not 0."),
        (["sample", "RUN", "--nun", "3"], "Perhaps you meant"),
        (["sample"], "Give the directory of a run first"),
        (["sample", "--num", "3", "RUN"], "Give the directory of a run first"),
        (["sample", "RUN", "--balance", "0.5", "0.5"], "no classes to balance"),
        (["train", "TINY", "--game.augment", "colour"], "There is no augmentation 'colour'; did you mean 'color'?"),
        (["train", "TINY", "--game.augment-p", "1.5"], "--game.augment-p must be at least 0 and at most 1, not 1.5"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_named_before_anything_compiles(words, said, refused, trained, home, tmp_path):
    names = {"TINY": home / "tiny.py", "NOWHERE": tmp_path / "nowhere", "HOME": home, "RUN": home / "run"}
    words = [names.get(word, word) for word in words]
    if words[0] == "train" and len(words) > 2:
        words += ["--workdir", tmp_path / "run"]
    assert said in refused(*words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--batch", "16"], "batch: 8 -> 16"),
        (["--seed", "1"], "seed: 0 -> 1"),
        (["--model.gen", "8"], "model.gen: [16] -> [8]"),
        (["--game.penalty-weight", "2.0"], "game.penalty_weight: 1.0 -> 2.0"),
        (["--data", "OTHER"], "the data (fingerprint): "),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_another_run_is_not_resumed(words, said, refused, trained, home, tmp_path):
    np.savez(tmp_path / "other.npz", image=synthetic.images((8, 8, 1), 160, seed=1)["image"])
    words = [tmp_path / "other.npz" if word == "OTHER" else word for word in words]
    answer = refused("train", home / "tiny.py", "--workdir", home / "run", "--loop.steps", "6", *words)
    assert said in answer
    assert "use another --workdir" in answer


def test_a_directory_in_use_or_none_at_all(refused, home, tmp_path):
    with run_directory.claim(tmp_path / "run"):
        answer = refused("train", home / "tiny.py", "--workdir", tmp_path / "run")
    assert f"is in use by process {os.getpid()} on " in answer
    (tmp_path / "file").write_text("")
    assert "a file, not a directory" in refused("train", home / "tiny.py", "--workdir", tmp_path / "file")


def test_configs_that_are_none(refused, tmp_path):
    (tmp_path / "broken.py").write_text("def get_config():\n    return 1 / 0\n")
    assert "can't be read as a config: ZeroDivisionError" in refused("train", tmp_path / "broken.py")
    (tmp_path / "number.py").write_text("def get_config():\n    return 1\n")
    assert "must return a jaxgen.config.Config, not int." in refused("train", tmp_path / "number.py")
