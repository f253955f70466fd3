"""Every way a checkpoint can be wrong, on tiny states: flipped, cut, lost, torn, another model's, on a full disk."""

import os
import random
import shutil
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import struct

from jaxgen.checkpoint import Checkpoints
from jaxgen.errors import UserError
from jaxgen.types import Array, PyTree


class State(struct.PyTreeNode):
    step: Array
    key: Array
    gen: PyTree
    opt: PyTree


def make(step, shape=(40, 30), dtype=jnp.float32, seed=0):
    """The kernel is too large for OCDBT to keep inside its index, the rest is not: both kinds of file are there."""
    key = jax.random.key(100 * seed + step)
    params = {
        "Dense_0": {"kernel": jax.random.normal(key, shape, dtype), "bias": jnp.full(3, step, jnp.bfloat16)},
        "SpectralNorm_0": {"Dense_0/kernel/sigma": jnp.float32(step)},  # as Flax names it
    }
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.inject_hyperparams(optax.adam)(learning_rate=1e-3))
    return State(jnp.asarray(step, jnp.int32), jax.random.split(key, 2), params, tx.init(params))


def abstract(state, sharding=None):
    shapes = jax.eval_shape(lambda: state)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)


def host(leaf):
    return np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(host(x), host(y), strict=True)


@pytest.fixture
def saved(tmp_path):
    """Steps 1 and 2, saved."""
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(1, make(1))
        checkpoints.save(2, make(2))
    return checkpoints


def restored(checkpoints, target, step=None):
    found = checkpoints.restore(target, step)
    assert found is not None
    return found


def files_of(checkpoints, step):
    return sorted(path for path in Path(checkpoints.path(step)).rglob("*") if path.is_file())


def test_round_trip_is_exact_and_newest_first(saved):
    state, step, notes = restored(saved, abstract(make(0)))
    assert (step, notes, saved.bad, saved.steps()) == (2, [], [], [1, 2])
    assert_same(state, make(2))
    assert jax.random.key_impl(state.key) == jax.random.key_impl(make(2).key)
    state, step, _ = restored(saved, abstract(make(0)), step=1)
    assert step == 1
    assert_same(state, make(1))


def test_plain_orbax_reads_it(saved):
    """The layout that `_stored` reads by itself is Orbax's own, still."""
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as reader:
        one = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        args = ocp.args.StandardRestore(abstract(make(0), one))
        assert_same(reader.restore(saved.path(2) / "state", args=args), make(2))


def test_nothing_saved_is_none_and_leaves_no_trace(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    assert checkpoints.restore(abstract(make(0))) is None
    assert checkpoints.steps() == []
    checkpoints.close()
    assert list(tmp_path.iterdir()) == []


def test_relative_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Checkpoints("run/checkpoints") as checkpoints:
        checkpoints.save(1, make(1))
        assert_same(restored(checkpoints, abstract(make(0)))[0], make(1))
    assert (tmp_path / "run" / "checkpoints" / "1" / "state").is_dir()


def test_state_may_be_donated_while_it_is_being_saved(tmp_path):
    state = {"x": jax.random.normal(jax.random.key(0), (500_000,))}
    expected = np.array(state["x"], copy=True)
    overwrite = jax.jit(lambda s: {"x": s["x"] * 0 - 1}, donate_argnums=0)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
        for _ in range(10):
            state = overwrite(state)
        again, _, _ = restored(checkpoints, abstract(state))
        np.testing.assert_array_equal(again["x"], expected)
        overwrite(again)  # what was restored may be donated too


def damage_each(path, rng):
    """(what was done, file content) for one file; None deletes it."""
    content = path.read_bytes()
    yield "deleted", None
    yield "emptied", b""
    yield "cut", content[: len(content) // 2]
    yield "grown", content + b"\0"
    for _ in range(3):
        flipped = bytearray(content)
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        yield "flipped", bytes(flipped)


def test_damage_to_any_file_gives_the_same_state_or_the_older_one(saved, capfd):
    rng = random.Random(0)
    target, states = abstract(make(0)), {1: make(1), 2: make(2)}
    older = set()
    for path in files_of(saved, 2):
        content = path.read_bytes()
        for what, damaged in damage_each(path, rng):
            path.unlink() if damaged is None else path.write_bytes(damaged)
            state, step, notes = restored(Checkpoints(saved.directory), target)
            assert_same(state, states[step])
            if step == 1:
                assert len(notes) == 1, notes
                assert notes[0].startswith("The checkpoint of step 2 is damaged and was passed over: ")
                older.add((path.parent.name, what))
            path.write_bytes(content)
    for what in ("deleted", "emptied", "cut", "flipped"):
        assert {("manifest", what), ("d", what)} <= older
    assert "Traceback" not in capfd.readouterr().err


def test_a_flipped_bit_in_a_weight_is_named(saved):
    data = [path for path in files_of(saved, 2) if path.parent.parent.name == "ocdbt.process_0"]
    path = max(data, key=lambda path: path.stat().st_size)  # nearly all of it is the kernel
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    _, step, notes = restored(saved, abstract(make(0)))
    assert step == 1
    assert "gen/Dense_0/kernel does not match its checksum" in notes[0]
    assert saved.bad == [2]


def test_a_damaged_manifest_is_not_taken_for_another_model(saved):
    path = Path(saved.path(2)) / "manifest" / "metadata"
    text = path.read_text()
    path.write_text(text.replace("[40, 30]", "[41, 30]"))
    assert path.read_text() != text
    _, step, notes = restored(saved, abstract(make(0)))
    assert step == 1
    assert "manifest does not match its own checksum" in notes[0]


@pytest.mark.parametrize("part", ["_CHECKPOINT_METADATA", "state", "manifest"])
def test_a_torn_step_is_passed_over(saved, part):
    path = Path(saved.path(2)) / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert saved.steps() == [1]
    state, step, notes = restored(saved, abstract(make(0)))
    assert_same(state, make(1))
    assert step == 1
    assert notes == [f"The checkpoint of step 2 is damaged and was passed over: {part} missing."]


def test_when_all_are_damaged_it_says_so_and_never_starts_over(saved):
    for step in (1, 2):
        (Path(saved.path(step)) / "manifest" / "metadata").write_text("{")
    with pytest.raises(UserError, match=r"(?s)No checkpoint in .* is good.*step 2 .*step 1 .*Move the directory away"):
        restored(saved, abstract(make(0)))
    assert saved.bad == [2, 1]


def test_a_step_asked_for_is_that_step_or_an_error(saved):
    with pytest.raises(UserError, match=r"no checkpoint of step 3 .* there are \[1, 2\]"):
        restored(saved, abstract(make(0)), step=3)
    (Path(saved.path(2)) / "_CHECKPOINT_METADATA").unlink()
    with pytest.raises(UserError, match="step 2 is damaged"):
        restored(saved, abstract(make(0)), step=2)


def test_set_aside_frees_the_step_and_keeps_the_files(saved):
    (Path(saved.path(2)) / "_CHECKPOINT_METADATA").unlink()
    with pytest.raises(UserError, match=r"2 is damaged .* Move it away"):
        saved.save(2, make(2))
    for again in (False, True):
        restored(saved, abstract(make(0)))
        saved.set_aside(saved.bad)
        corrupt = Path(saved.directory).parent / "corrupt"
        assert (corrupt / ("2.1" if again else "2") / "state" / "manifest.ocdbt").exists()
        assert saved.steps() == [1]
        saved.save(2, make(2, seed=1))
        saved.wait()
        assert_same(restored(saved, abstract(make(0)))[0], make(2, seed=1))
        (Path(saved.path(2)) / "_CHECKPOINT_METADATA").unlink()
    saved.close()


def test_saving_goes_on_beside_an_older_damaged_step(saved):
    (Path(saved.path(1)) / "_CHECKPOINT_METADATA").write_text("{")
    (Path(saved.path(1)) / "manifest" / "metadata").unlink()
    with Checkpoints(saved.directory, keep=2) as checkpoints:
        checkpoints.save(3, make(3))
    assert checkpoints.steps() == [2, 3]


def test_saving_a_step_twice(saved):
    newest = {path: path.read_bytes() for path in files_of(saved, 2)}
    with Checkpoints(saved.directory) as checkpoints:
        checkpoints.save(2, make(2))  # the same: nothing to do
        assert {path: path.read_bytes() for path in files_of(saved, 2)} == newest
        with pytest.raises(UserError, match=r"Step 2 was not saved: .* holds another state"):
            checkpoints.save(2, make(2, seed=1))
        checkpoints.save(3, make(3))
        checkpoints.save(3, make(3))
    assert checkpoints.steps() == [1, 2, 3]
    assert {path: path.read_bytes() for path in files_of(saved, 2)} == newest


def test_keep(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (1, 2, 3, 4):
            checkpoints.save(step, make(step))
    assert sorted(os.listdir(tmp_path)) == ["3", "4"]


def test_leftovers_of_a_kill_are_invisible_and_go_at_the_next_save(saved):
    directory = Path(saved.directory)
    shutil.copytree(directory / "2", directory / "3.orbax-checkpoint-tmp")
    shutil.copytree(directory / "2", directory / ".deleted" / "0")
    with Checkpoints(directory) as checkpoints:
        assert checkpoints.steps() == [1, 2]
        assert restored(checkpoints, abstract(make(0)))[1:] == (2, [])
        assert (directory / "3.orbax-checkpoint-tmp").exists()  # it may be another process's save under way
        checkpoints.save(3, make(3))
    assert sorted(os.listdir(directory)) == ["1", "2", "3"]
    assert_same(restored(checkpoints, abstract(make(0)))[0], make(3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: make(0, (64, 30)), r"gen/Dense_0/kernel is float32\[40,30\] in the checkpoint, float32\[64,30\] in"),
        (lambda s: make(0, dtype=jnp.bfloat16), r"kernel is float32\[40,30\] in the checkpoint, bfloat16\[40,30\] in"),
        (
            lambda s: s.replace(key=jax.random.key(0, impl="rbg")),
            r"key is key<fry>\[2\] in the .*, key<rbg>\[\] in this",
        ),
        (lambda s: s.replace(gen={"Dense_0": {}}), r"gen/Dense_0/bias is bfloat16\[3\] in the checkpoint, absent in"),
        (lambda s: s.replace(gen=s.gen | {"a": jnp.zeros(2)}), r"gen/a is absent in the checkpoint, float32\[2\] in"),
    ],
)
def test_another_model_is_an_error_that_names_the_leaf(saved, change, message):
    with pytest.raises(UserError, match="made by another model: .*" + message):
        saved.restore(abstract(change(make(0))))
    assert saved.bad == []


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
def test_a_state_that_is_not_finite_is_refused(tmp_path, value):
    bad = make(2)
    bad.gen["Dense_0"]["bias"] = bad.gen["Dense_0"]["bias"].at[1].set(value)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, make(1))
        with pytest.raises(UserError, match=r"gen/Dense_0/bias holds values that are not finite; .* good .* step 1"):
            checkpoints.save(2, bad)
    assert checkpoints.steps() == [1]


def test_from_four_devices_to_one_and_back(tmp_path):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    one = jax.sharding.SingleDeviceSharding(jax.devices()[3])
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, jax.device_put(make(1), everywhere))
        for goal in (one, everywhere, None):
            state, _, _ = restored(checkpoints, abstract(make(0), goal))
            assert_same(state, make(1))
            for leaf in jax.tree.leaves(state):
                expected = goal or jax.sharding.SingleDeviceSharding(jax.devices()[0])
                assert leaf.sharding.is_equivalent_to(expected, leaf.ndim)
        checkpoints.save(2, state)  # from one device
        state, step, _ = restored(checkpoints, abstract(make(0), everywhere))
        assert step == 2
        assert_same(state, make(1))
        assert all(leaf.sharding.device_set == set(jax.devices()) for leaf in jax.tree.leaves(state))


@pytest.fixture
def small_disk(disk):
    return disk("6m")


@pytest.mark.parametrize("surfaces", ["wait", "save", "close"])
def test_full_disk(small_disk, surfaces, capfd):
    small, large = {"w": jnp.arange(300_000.0)}, {"w": jax.random.normal(jax.random.key(0), (2_000_000,))}
    checkpoints = Checkpoints(small_disk / "checkpoints")
    checkpoints.save(1, small)
    checkpoints.save(2, large)
    call = {"wait": checkpoints.wait, "save": lambda: checkpoints.save(3, small), "close": checkpoints.close}[surfaces]
    with pytest.raises(UserError, match=r"disk is full: step 2 .*; the last good checkpoint is step 1\. Free some"):
        call()
    assert os.listdir(small_disk / "checkpoints") == ["1"]  # and none of the space is lost
    assert_same(restored(checkpoints, abstract(small))[0], small)
    checkpoints.save(3, small)
    checkpoints.close()
    checkpoints.close()
    assert Checkpoints(small_disk / "checkpoints").steps() == [1, 3]
    assert "Traceback" not in capfd.readouterr().err
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("save_finalize")]


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    checkpoints = Checkpoints(tmp_path / "file" / "checkpoints")
    with pytest.raises(UserError, match=r"Cannot write: step 1 .*there is no good checkpoint"):
        checkpoints.save(1, make(1))
    checkpoints.close()
