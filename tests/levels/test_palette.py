import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.levels.palette import PALETTE, legend, map_from_picture, picture_from_map
from jaxgen.levels.tiles import TILESETS

NAMES = TILESETS["crafter"].names


def test_colours_are_told_apart():
    assert PALETTE.shape == (len(NAMES), 3)
    assert PALETTE.dtype == np.uint8
    apart = np.abs(PALETTE[:, None].astype(int) - PALETTE[None]).sum(-1) + 999 * np.eye(len(NAMES), dtype=int)
    assert apart.min() > 60
    red, green, blue = PALETTE.T.astype(int)
    assert NAMES[int((blue - red - green).argmax())] == "water"
    assert NAMES[int((red - green - blue).argmax())] == "lava"
    assert green[NAMES.index("grass")] > max(red[NAMES.index("grass")], blue[NAMES.index("grass")])


def test_there_and_back():
    tiles = np.random.default_rng(0).integers(0, 10, (5, 7)).astype(np.uint8)
    picture = picture_from_map(tiles)
    assert picture.shape == (5, 7, 3)
    assert picture.dtype == np.uint8
    back = map_from_picture(picture, "map.png")
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, tiles)
    one = map_from_picture(np.array([[PALETTE[6], PALETTE[0]]]), "map.png")
    np.testing.assert_array_equal(one, [[NAMES.index("lava"), NAMES.index("water")]])


def test_an_unknown_colour_is_named_with_its_place():
    picture = picture_from_map(np.ones((4, 6), np.uint8))
    picture[2, 5] = (1, 171, 255)
    with pytest.raises(UserError) as caught:
        map_from_picture(picture, "my/map.png")
    said = str(caught.value)
    assert said.startswith(
        "my/map.png: the colour #01abff at column 5, row 2 (from 0, at the top left) means no tile; "
    )
    assert "1 pixel has such a colour" in said
    for colour, name in zip(PALETTE, NAMES, strict=True):
        assert f"#{colour[0]:02x}{colour[1]:02x}{colour[2]:02x} {name}" in said
    assert legend() in said
    picture[3, :2] = PALETTE[1] + np.uint8(1)
    with pytest.raises(UserError, match=r"#01abff at column 5, row 2 .* 3 pixels have such a colour"):
        map_from_picture(picture, "my/map.png")


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_pictures_are_refused(picture):
    with pytest.raises(UserError, match=r"x\.png must be an RGB picture of 8 bits a channel, one pixel a cell"):
        map_from_picture(picture, "x.png")


def test_other_numbers_are_refused():
    with pytest.raises(UserError, match="tile numbers from 0 to 9; this one has 3 to 10"):
        picture_from_map(np.array([[3, 10]], np.uint8))
    with pytest.raises(UserError, match="this one has -1 to 2"):
        picture_from_map(np.array([[-1, 2]]))
