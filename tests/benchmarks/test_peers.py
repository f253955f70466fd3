import subprocess
from dataclasses import replace

import pytest

from benchmarks import peers, suites


@pytest.fixture
def installs(monkeypatch, tmp_path):
    """A peer `p` with its requirements, and the list of pip's calls; `code` is what pip returns."""
    calls = []
    folder = tmp_path / "benchmarks" / "peers" / "p"
    folder.mkdir(parents=True)
    (folder / "requirements.txt").write_text("p==1\n")

    def run(argv, **_):
        calls.append(argv)
        return subprocess.CompletedProcess(argv, run.code, "", "no such release")

    run.code = 0
    monkeypatch.setattr(peers, "HERE", folder.parent)
    monkeypatch.setattr(peers.venv, "create", lambda folder, with_pip: folder.mkdir())
    monkeypatch.setattr(peers.subprocess, "run", run)
    return calls, folder / "requirements.txt", run, tmp_path / "venvs"


def test_an_environment_is_made_once_and_again_when_its_requirements_change(installs):
    calls, requirements, _, root = installs
    python = peers.environment("p", root)
    assert python.parent.parent == root / "p"
    assert [(argv[0], argv[1:4], argv[-1]) for argv in calls] == [
        (str(python), ["-m", "pip", "install"], str(requirements))
    ]
    peers.environment("p", root)
    assert len(calls) == 1
    requirements.write_text("p==2\n")
    peers.environment("p", root)
    assert len(calls) == 2
    assert (root / ".gitignore").read_text() == "*\n"


def test_a_failed_installation_says_why_and_is_tried_again(installs):
    calls, _, run, root = installs
    run.code = 1
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no such release"):
            peers.environment("p", root)
    assert len(calls) == 2


@pytest.mark.parametrize("name", peers.PEERS)
def test_requirements_are_pinned(name):
    lines = (peers.HERE / name / "requirements.txt").read_text().split()
    assert lines
    assert all("==" in line for line in lines)


def test_torch_runs_channels_last_for_convolutions_only():
    by_name = {case.name: case for case in suites.load("step")}
    torch = peers.PEERS["torch"]
    assert torch.variants(by_name["dcgan_28"], "cpu") == ("eager", "channels_last", "compile")
    assert torch.variants(by_name["digits_gan"], "cpu") == ("eager", "compile")
    assert "channels_last" in torch.variants(by_name["conv_vae"], "cpu")
    names = (
        "level_gan",
        "face_gan",
        "medical_gan",
        "style_transfer_gan",
        "style_transfer_gan_paired",
        "super_resolution",
    )
    for name in names:
        assert torch.variants(by_name[name], "cpu") == ("eager", "channels_last", "compile")


def test_torch_replays_graphs_on_a_card_only():
    case = suites.load("step")[0]
    assert peers.PEERS["torch"].variants(case, "NVIDIA H100") == ("eager", "compile", "compile_graphs")


def test_an_interpreter_that_has_the_peer_is_not_installed_again(monkeypatch):
    monkeypatch.setattr(peers, "environment", lambda name: pytest.fail("installed"))
    command = replace(peers.PEERS["torch"], python="/opt/python").command()
    assert command.argv == ("/opt/python", "-m", "benchmarks.peers.torch.worker")


def test_a_peer_has_no_variant_of_what_it_can_not_run():
    case, torch = suites.load("step")[0], peers.PEERS["torch"]
    assert torch.variants(replace(case, kind="call"), "cpu")
    assert torch.variants(replace(case, kind="knitting"), "cpu") == ()
    assert case.config
    bf16 = replace(case, config=replace(case.config, precision="bf16"))
    assert torch.variants(bf16, "cpu")
    assert peers.PEERS["artifex"].variants(bf16, "cpu") == ()
    by_name = {case.name: case for case in suites.load("step")}
    for name in ("face_gan", "style_transfer_gan", "super_resolution"):
        assert peers.PEERS["artifex"].variants(by_name[name], "cpu") == ()


def test_artifex_has_the_same_networks_for_convolutional_pairs_only():
    by_name = {case.name: case for case in suites.load("step")}
    artifex = peers.PEERS["artifex"]
    for name in ("dcgan_28", "dcgan_64"):
        assert artifex.variants(by_name[name], "cpu") == ("own", "same")
    for name in ("digits_gan", "image_vae", "flax_vae", "conv_vae"):
        assert artifex.variants(by_name[name], "cpu") == ("own",)


def test_pythae_has_the_fully_connected_vaes_only():
    pythae = peers.PEERS["pythae"]
    served = {case.name: pythae.variants(case, "cpu") for case in suites.load("step")}
    assert {name for name, variants in served.items() if variants} == {"image_vae", "flax_vae"}
    assert served["image_vae"] == ("own", "same")
    calls = [case for case in suites.load("accelerator") if case.kind == "call"]
    assert not any(pythae.variants(case, "cpu") for case in calls)


@pytest.mark.parametrize("change", [{"likelihood": "gaussian"}, {"beta": 2.0}, {"beta_warmup": 10}, {"samples": 5}])
def test_pythae_has_the_plain_bound_only(change):
    case = {case.name: case for case in suites.load("step")}["flax_vae"]
    assert case.config
    game = replace(case.config.game, **change)
    assert peers.PEERS["pythae"].variants(replace(case, config=replace(case.config, game=game)), "cpu") == ()


def test_pythae_computes_in_fp32():
    case = {case.name: case for case in suites.load("precision")}["image_vae_bf16"]
    assert peers.PEERS["pythae"].variants(case, "cpu") == ()
