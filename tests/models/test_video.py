"""Clips: a thing put into frames against SciPy, what content and motion decide, and what the critics see."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxgen.losses.penalties import r1
from jaxgen.models import video

pytestmark = pytest.mark.usefixtures("compiled_quickly")
SHAPE = (4, 8, 12, 2)
GENERATORS = {
    "placed": video.Generator(SHAPE, content=3, motion=2, hidden=4, widths=(6, 4), placed=True),
    "shaped": video.Generator(SHAPE, content=3, motion=2, hidden=4, widths=(6, 4), patch=2),
    "still": video.Generator(SHAPE, content=3, motion=2, hidden=4, widths=(6, 4), norm="batch", still=True, classes=2),
}
RNG = np.random.default_rng(0)
CLIPS = RNG.uniform(-1, 1, size=(8, 4, 8, 8, 1)).astype(np.float32)


def drawn(module, *inputs):
    """Variables of the shapes of `init`, all drawn: a fresh block ends in zeros."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs, train=False))["params"]
    rng = np.random.default_rng(1)

    def draw(a):
        scale = 0.1 if a.ndim < 2 else (a.size / a.shape[-1]) ** -0.5
        return jnp.asarray(scale * rng.normal(size=a.shape), a.dtype)

    return {"params": jax.tree.map(draw, shapes)}


def applied(module, variables, x, key=None, *, train=False):
    rngs = None if key is None else {"example": key}
    return np.asarray(jax.jit(lambda v, x: module.apply(v, x, train=train, rngs=rngs))(variables, x))


def latents(module, n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, module.z_dim)).astype(np.float32)


def by_scipy(thing, place, size):
    """thing [h, w] -> size: linear interpolation, zeros around, a pixel's value standing at its middle."""
    grid = np.mgrid[: size[0], : size[1]].astype(float)
    for axis in range(2):
        grid[axis] -= (place[axis] + 1) * (size[axis] - thing.shape[axis]) / 2
    return ndimage.map_coordinates(thing.astype(float), grid, order=1, mode="grid-constant")


def test_putting_a_thing_is_linear_interpolation():
    thing = RNG.uniform(size=(2, 3, 4, 2)).astype(np.float32)
    places = RNG.uniform(-1.8, 1.8, size=(2, 5, 2)).astype(np.float32)  # some of it off the frame
    out = video.put(thing, places, (9, 7))
    assert out.shape == (2, 5, 9, 7, 2)
    for b, t, c in np.ndindex(2, 5, 2):
        np.testing.assert_allclose(out[b, t, :, :, c], by_scipy(thing[b, :, :, c], places[b, t], (9, 7)), atol=1e-5)


def test_at_one_and_minus_one_a_thing_touches_the_borders():
    thing = jnp.ones((1, 2, 3, 1))
    places = jnp.array([[[-1.0, -1], [1, 1], [0, 0], [-1, 1]]])
    out = np.asarray(video.put(thing, places, (6, 7)))[0, ..., 0]
    corners = [(slice(0, 2), slice(0, 3)), (slice(4, 6), slice(4, 7)), (slice(2, 4), slice(2, 5))]
    for frame, corner in zip(out, [*corners, (slice(0, 2), slice(4, 7))], strict=True):
        expected = np.zeros((6, 7))
        expected[corner] = 1
        np.testing.assert_allclose(frame, expected, atol=1e-6)
    gone = video.put(thing, jnp.full((1, 1, 2), 3.0), (6, 7))
    np.testing.assert_array_equal(gone, 0)


def test_latents_are_parted_into_content_start_and_noise():
    module = GENERATORS["placed"]
    assert module.z_dim == 3 + 2 * 5
    content, start, noise = module.parts(jnp.arange(13.0)[None])
    np.testing.assert_array_equal(content, [[0, 1, 2]])
    np.testing.assert_array_equal(start, [[3, 4]])
    np.testing.assert_array_equal(noise, [[[5, 6], [7, 8], [9, 10], [11, 12]]])


@pytest.mark.parametrize("name", GENERATORS)
def test_clips_have_their_shape_and_range_and_a_finite_gradient(name):
    module = GENERATORS[name]
    z, label = 3 * latents(module, 3), (jnp.array([0, 1, 1]),) * bool(module.classes)
    variables = drawn(module, z, *label)

    def score(params):
        clips, _ = module.apply({"params": params}, z, *label, train=True, mutable=["batch_stats"])
        return (clips * jnp.cos(jnp.arange(clips.size, dtype=jnp.float32)).reshape(clips.shape)).sum(), clips

    grads, clips = jax.jit(jax.grad(score, has_aux=True))(variables["params"])
    assert clips.shape == (3, *SHAPE)
    assert np.abs(clips).max() <= 1
    for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path


def test_what_is_placed_is_one_thing_in_all_frames():
    """Two clips of one content and two motions: in each frame SciPy's shift of the thing that the network draws."""
    module = GENERATORS["placed"]
    z = latents(module, 2)
    z[1, :3] = z[0, :3]
    z[:, 3:] *= 0.3
    variables = drawn(module, z)
    parts = [np.asarray(part) for part in module.parts(z)]
    motion = video.Motion(module.hidden)
    _, places = jax.jit(motion.apply)({"params": variables["params"]["Motion_0"]}, *parts[1:])
    draw = video.residual.Generator((4, 6, 2), module.widths)
    thing = (applied(draw, {"params": variables["params"]["draw"]}, parts[0]) + 1) / 2
    np.testing.assert_array_equal(thing[0], thing[1])
    clips = applied(module, variables, z, train=True)
    assert np.abs(np.asarray(places)[0] - np.asarray(places)[1]).max() > 0.05
    for b, t, c in np.ndindex(2, 4, 2):
        expected = 2 * by_scipy(thing[b, :, :, c], np.asarray(places)[b, t], SHAPE[1:3]) - 1
        np.testing.assert_allclose(clips[b, t, :, :, c], expected, atol=1e-5)


def test_a_shift_is_linear_interpolation():
    picture = RNG.uniform(size=(2, 4, 5, 2)).astype(np.float32)
    by = RNG.uniform(-2, 2, size=(2, 3, 2)).astype(np.float32)
    out = video.shifted(picture, by)
    for b, t, c in np.ndindex(2, 3, 2):
        expected = ndimage.shift(picture[b, :, :, c].astype(float), by[b, t], order=1, mode="grid-constant")
        np.testing.assert_allclose(out[b, t, :, :, c], expected, atol=1e-5)


def test_where_the_mask_is_closed_a_still_picture_is_seen():
    """Its bias opens or closes it: then motion changes all of a frame, or only where the picture is."""
    module = dataclasses.replace(GENERATORS["still"], norm="none")
    z, label = latents(module, 2), jnp.array([0, 1])
    z[1, :3] = z[0, :3]
    params = drawn(module, z, label)["params"]
    params["Dense_0"] = jax.tree.map(jnp.zeros_like, params["Dense_0"])  # no shift

    def clips(bias):
        last = params["draw"]["Conv_0"]
        opened = params | {"draw": params["draw"] | {"Conv_0": last | {"bias": jnp.array([0.0, 0, bias])}}}
        return np.asarray(jax.jit(partial(module.apply, train=False))({"params": opened}, z, label))

    draw = video.residual.Generator((8, 12, 2), module.widths, classes=2)
    picture = np.asarray(draw.apply({"params": params["still"]}, z[:, :3], label, train=False))
    np.testing.assert_allclose(clips(-100.0), np.broadcast_to(picture[:, None], (2, *SHAPE)), atol=1e-5)
    assert np.abs(picture[0] - picture[1]).max() > 1e-2  # by class
    moving = clips(100.0)
    assert np.abs(np.diff(moving, axis=1)).max() > 1e-2
    half = clips(0.0)
    assert np.abs(half - moving).max() > 1e-2


def test_what_is_placed_has_no_still_picture():
    module = dataclasses.replace(GENERATORS["placed"], still=True)
    with pytest.raises(ValueError, match="leave out still"):
        module.init(jax.random.key(0), latents(module, 1), train=False)


def test_places_follow_from_the_noise_of_the_frames_before():
    module = GENERATORS["placed"]
    z = latents(module, 2)
    z[:, 3:] *= 0.3  # within the frame
    z[1] = z[0]
    z[1, 3 + 2 + 2 * 2 :] += 0.5  # the noise from the third frame on
    variables = {"params": drawn(module, z)["params"]["Motion_0"]}
    _, places = jax.jit(video.Motion(module.hidden).apply)(variables, *module.parts(z)[1:])
    np.testing.assert_array_equal(places[0, :2], places[1, :2])
    assert (np.abs(places[0, 2:] - places[1, 2:]).max(1) > 1e-3).all()


def test_what_is_not_placed_may_change_its_shape():
    module = GENERATORS["shaped"]
    z = latents(module, 2)
    variables = drawn(module, z)
    clips = applied(module, variables, z, train=True)
    assert np.ptp(clips[0], axis=0).max() > 1e-2  # it moves
    assert np.abs(clips[0] - clips[1]).max() > 1e-2
    z[1, 3:] = z[0, 3:]
    assert np.abs(np.diff(applied(module, variables, z, train=True), axis=0)).max() > 1e-2  # content counts too


def frame_critic(frames, axis_name=None):
    module = video.FrameCritic((6, 4), frames, patch=2, axis_name=axis_name)
    return module, drawn(video.FrameCritic((6, 4), frames, patch=2), CLIPS)


def of_every_frame():
    """Logits [B, T] of single frames."""
    variables = frame_critic(1)[1]
    inner = {"params": variables["params"]["Critic_0"]}
    critic = video.residual.Critic((6, 4), patch=2)
    logits = applied(critic, inner, CLIPS.reshape(-1, 8, 8, 1))
    return variables, logits.reshape(CLIPS.shape[:2])


def test_outside_training_the_critic_of_frames_sees_evenly_spaced_ones():
    variables, each = of_every_frame()
    for frames, chosen in ((2, [0, 2]), (3, [0, 1, 2])):
        out = applied(frame_critic(frames)[0], variables, CLIPS)
        np.testing.assert_allclose(out, each[:, chosen], rtol=1e-4, atol=1e-5)


def test_in_training_it_sees_different_frames_of_each_clip_drawn_by_the_key():
    variables, each = of_every_frame()
    module = frame_critic(2)[0]
    seen = []
    for i in range(2):
        out = applied(module, variables, CLIPS, jax.random.key(i), train=True)
        away = np.abs(out[:, :, None] - each[:, None])  # [B, frames, T]
        assert away.min(2).max() < 1e-4
        seen.append(away.argmin(2))
        assert (seen[-1][:, 0] != seen[-1][:, 1]).all()
    assert len(np.unique(seen[0], axis=0)) > 1
    assert (seen[0] != seen[1]).any()


def test_the_draws_do_not_depend_on_the_number_of_devices():
    variables = frame_critic(2)[1]
    key = jax.random.key(3)
    whole = applied(frame_critic(2)[0], variables, CLIPS, key, train=True)
    module = frame_critic(2, "data")[0]
    run = jax.pmap(lambda x: module.apply(variables, x, train=True, rngs={"example": key}), axis_name="data")
    np.testing.assert_allclose(run(CLIPS.reshape(4, 2, *CLIPS.shape[1:])).reshape(8, 2), whole, rtol=1e-4, atol=1e-5)


def test_a_critic_that_sees_all_frames_draws_nothing():
    variables, each = of_every_frame()
    out = applied(frame_critic(4)[0], variables, CLIPS, train=True)
    np.testing.assert_allclose(out, each, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frames", [0, 5])
def test_more_frames_than_a_clip_has_are_refused(frames):
    with pytest.raises(ValueError, match=f"can't see {frames} of a clip's 4 frames"):
        frame_critic(frames)


def test_the_critic_of_clips_sees_the_order_of_frames():
    module = video.ClipCritic((6, 4), patch=2)
    variables = drawn(module, CLIPS)
    logits = applied(module, variables, CLIPS)
    assert logits.shape == (8,)
    shuffled = applied(module, variables, CLIPS[:, [2, 0, 3, 1]])
    assert (np.abs(logits - shuffled) > 1e-4).all()
    assert variables["params"]["Conv_0"]["kernel"].shape == (4, 4, 4, 4, 4)
    assert variables["params"]["Dense_0"]["kernel"].shape == (6, 1)  # 4 x 4 x 4 places, halved twice


def test_the_penalty_of_both_critics_has_a_finite_gradient():
    """Against finite differences in one direction."""
    module = video.Critics((6, 4), (4, 4), frames=2, patch=2)
    variables = drawn(module, CLIPS)

    def penalty(params):
        def critic(x):
            frames, clips = module.apply({"params": params}, x, train=True, rngs={"example": jax.random.key(0)})
            return frames.sum(1) + clips

        x = jnp.asarray(CLIPS)
        return r1(critic, x, x, jax.random.split(jax.random.key(0), 8)).mean()

    both = jax.jit(jax.value_and_grad(penalty))
    value, grads = both(variables["params"])
    assert value > 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    # Piecewise quadratic in the weights: the derivative along them is that of a polynomial.
    step = 1e-2
    ends = [jax.tree.map(lambda a, s=s: a * (1 + s * step), variables["params"]) for s in (1, -1)]
    slope = (both(ends[0])[0] - both(ends[1])[0]) / (2 * step)
    along = sum(jnp.vdot(g, p) for g, p in zip(*map(jax.tree.leaves, (grads, variables["params"])), strict=True))
    np.testing.assert_allclose(along, slope, rtol=0.05)


def test_what_moves_is_followed():
    """Wherever a thing is within the frame, between pixels too, the same is seen."""
    thing = np.zeros((1, 8, 8, 2), np.float32)
    thing[:, 2:6, 1:7] = RNG.uniform(0.2, 1, (1, 4, 6, 2))
    places = jnp.asarray([[[0.0, 0.0], [0.25, -0.5], [-1.0, 1.0], [0.1, 0.07]]])
    frames = 2 * video.put(jnp.asarray(thing), places, (16, 16))[0] - 1
    seen = video.followed(frames)
    assert seen.shape == (4, 8, 8, 2)
    np.testing.assert_allclose(seen[1], seen[0], atol=1e-3)
    np.testing.assert_allclose(seen[2], seen[0], atol=1e-3)
    assert np.abs(seen[3] - seen[0]).mean() < 0.25  # of 2; blurred by being between pixels
    np.testing.assert_allclose((seen + 1).sum((1, 2)), (frames + 1).sum((1, 2)), rtol=1e-4)  # all of it is seen


def test_a_dark_frame_and_the_borders():
    dark = -jnp.ones((1, 8, 8, 1))
    np.testing.assert_allclose(video.followed(dark), -np.ones((1, 4, 4, 1)), atol=1e-6)
    corner = dark.at[0, 0, 0].set(1.0)
    seen = np.asarray(video.followed(corner))
    assert seen.sum() == pytest.approx(2 - 16, abs=1e-3)  # the pixel, in the middle, and -1 around it
    slope = jax.grad(lambda x: video.followed(x).sum())(dark)
    assert np.isfinite(slope).all()


def test_a_critic_that_follows_does_not_care_where():
    frames = np.zeros((1, 1, 8, 8, 1), np.float32) - 1
    moved = frames.copy()
    blob = RNG.uniform(0, 1, (2, 2, 1))
    frames[0, 0, 3:5, 3:5], moved[0, 0, 1:3, 4:6] = blob, blob
    module = video.FrameCritic((6, 4), 1, follow=True)
    params = drawn(module, frames)
    logits = [module.apply(params, x, train=False) for x in (frames, moved)]
    np.testing.assert_allclose(*logits, atol=1e-5)


def test_a_critic_that_follows_has_no_opinion_about_where():
    """Not even for a short way: its gradient does not push things about.

    Halfway between pixels, where being so blurs most: elsewhere it does see how much a thing is blurred.
    """
    across = np.exp(-(((np.arange(8) - 3.5) / 1.5) ** 2))
    thing = (across[:, None] * across)[None, ..., None].astype(np.float32)
    slopes = {}
    for follow in (True, False):
        module = video.FrameCritic((6, 4), 1, follow=follow)
        params = drawn(module, np.zeros((1, 1, 16, 16, 1), np.float32))

        def logit(places, module=module, params=params):
            return module.apply(params, 2 * video.put(thing, places, (16, 16)) - 1, train=False).sum()

        slopes[follow] = np.abs(jax.grad(logit)(jnp.array([[[0.125, -0.125]]]))).max()
    assert slopes[True] < 0.1 * slopes[False]


def test_ways_are_folded_at_the_borders():
    way = jnp.linspace(-7, 7, 141)
    place = np.asarray(video.folded(way))
    assert np.abs(place).max() <= 1 + 1e-6
    np.testing.assert_allclose(video.folded(jnp.array([-1.0, 0, 1, 2, 3])), [-1, 0, 1, 0, -1], atol=1e-6)
    np.testing.assert_allclose(video.folded(way + 4), place, atol=1e-5)
    np.testing.assert_allclose(video.folded(2 - way), place, atol=1e-5)  # there and back
    mirrored = 1 - np.abs(np.mod(np.asarray(way) + 1, 4) - 2)
    assert np.abs(place - mirrored).max() < 0.03
    slopes = jax.vmap(jax.grad(video.folded))(way + 0.05)
    assert (np.abs(slopes) > 1e-2).all()


def test_before_training_things_go_on_as_they_went():
    module, rng = video.Motion(4), np.random.default_rng(0)
    start, noise = 0.1 * rng.normal(size=(3, 2)), rng.normal(size=(3, 6, 2))
    variables = module.init(jax.random.key(0), start, noise)
    _, places = module.apply(variables, start, noise)
    assert np.abs(places).max() < 0.8  # no border is near
    assert np.abs(np.diff(places, n=2, axis=1)).max() < 1e-3 * np.abs(np.diff(places, axis=1)).max()


def test_the_path_is_that_of_the_middle():
    thing = np.zeros((2, 8, 8, 2), np.float32)
    thing[:, 3:5, 3:5] = RNG.uniform(0.2, 1, (2, 1, 1, 2))
    places = RNG.uniform(-1, 1, (2, 5, 2)).astype(np.float32)
    found = video.path(2 * video.put(thing, places, (16, 16)) - 1)
    np.testing.assert_allclose(found, places, atol=1e-3)
    moved = jax.jacobian(lambda p: video.path(2 * video.put(thing, p, (16, 16)) - 1).sum((0, 1)))(jnp.asarray(places))
    np.testing.assert_allclose(moved, np.broadcast_to(np.eye(2)[:, None, None], moved.shape), atol=1e-2)


def test_a_dark_clip_has_a_path_and_a_finite_gradient():
    dark = -jnp.ones((1, 3, 8, 8, 1))
    np.testing.assert_allclose(video.path(dark), 0, atol=1e-6)
    assert np.isfinite(jax.grad(lambda x: video.path(x).sum())(dark)).all()


def test_the_critic_of_paths_sees_where_things_are_and_not_what():
    module = video.PathCritic(8)
    places = jnp.asarray(RNG.uniform(-1, 1, (1, 4, 2)).astype(np.float32))
    things = np.zeros((2, 1, 8, 8, 1), np.float32)
    things[0, :, 3:5, 3:5], things[1, :, 2:6, 2:6] = 0.3, 0.9
    clips = [2 * video.put(jnp.asarray(thing), places, (16, 16)) - 1 for thing in things]
    variables = drawn(module, clips[0])
    logits = [applied(module, variables, clip) for clip in (*clips, clips[0][:, ::-1])]
    assert logits[0].shape == (1,)
    np.testing.assert_allclose(logits[1], logits[0], atol=1e-2)
    assert np.abs(logits[2] - logits[0]) > 1e-2


def test_paths_have_a_critic_where_things_are_followed():
    for follow in (True, False):
        module = video.Critics((6, 4), (4, 4), frames=2, patch=2, follow=follow)
        logits = module.apply(drawn(module, CLIPS), CLIPS, train=False)
        assert [a.shape for a in logits] == [(8, 2), (8,), (8,)][: 2 + follow]


@pytest.mark.parametrize("placed", [True, False])
def test_the_class_decides_what_is_seen_and_how_it_moves(placed):
    module = video.Generator(SHAPE, 3, 2, 4, (6, 4), placed, norm="batch", classes=3)
    z = np.repeat(latents(module, 1), 3, axis=0)
    label = jnp.arange(3)
    variables = module.init(jax.random.key(0), z, label, train=False)
    variables = jax.tree.map(lambda a: a + 0.1 * jnp.cos(jnp.arange(a.size).reshape(a.shape)), variables)
    clips = np.asarray(module.apply(variables, z, label, train=False))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(clips[i] - clips[j]).max() > 1e-3
    first = video.Motion(4)
    kernel = variables["params"]["Motion_0"]["Dense_0"]["kernel"]
    assert kernel.shape == (2 + 3, 4)
    _, places = first.apply({"params": variables["params"]["Motion_0"]}, *started(module, z, label))
    assert np.abs(places[0] - places[1]).max() > 1e-4


def started(module, z, label):
    _, start, noise = module.parts(jnp.asarray(z))
    return video.with_label(start, label, 3), noise


def test_critics_of_frames_and_clips_see_the_class():
    module = video.Critics((6, 4), (4, 4), frames=2, patch=2, follow=True, classes=3)
    label = jnp.arange(8) % 3
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), CLIPS, label, train=False))["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda a: jnp.asarray(0.3 * rng.normal(size=a.shape), a.dtype), shapes)
    frames, clips, paths = (
        [module.apply({"params": params}, CLIPS, a, train=False)[i] for a in (label, (label + 1) % 3)] for i in range(3)
    )
    assert (np.abs(frames[0] - frames[1]) > 1e-4).all()
    assert (np.abs(clips[0] - clips[1]) > 1e-4).all()
    np.testing.assert_array_equal(paths[0], paths[1])
