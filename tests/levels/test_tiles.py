import pytest

from jaxgen.errors import UserError
from jaxgen.levels.tiles import TILESETS


@pytest.mark.parametrize(("name", "size"), [("mario", 13), ("sokoban", 7), ("crafter", 10)])
def test_every_tile_has_a_character_and_a_name_of_its_own(name, size):
    tileset = TILESETS[name]
    assert tileset.name == name
    assert tileset.size == len(tileset.chars) == len(set(tileset.chars)) == size
    assert len(tileset.names) == len(set(tileset.names)) == size
    assert set(tileset.solid) < set(tileset.chars)
    assert tileset.chars.isascii()
    assert tileset.chars.isprintable()
    assert ";" not in tileset.chars  # it begins a header of a text file


def test_numbers_by_name():
    assert TILESETS["mario"].numbers("empty", "cannon bottom", "enemy") == (0, 12, 5)
    assert TILESETS["sokoban"].numbers("wall", "player on goal") == (0, 6)
    with pytest.raises(UserError, match="sokoban has no tile 'coin'; choose from wall, floor"):
        TILESETS["sokoban"].numbers("coin")


def test_legend():
    assert TILESETS["sokoban"].legend().startswith("'#' wall, ' ' floor, '.' goal, ")


def test_crafter_has_the_order_of_the_game():
    constants = pytest.importorskip("crafter.constants")
    tileset = TILESETS["crafter"]
    assert tuple(constants.materials[: tileset.size]) == tileset.names
    free = {name for name, char in zip(tileset.names, tileset.chars, strict=True) if char not in tileset.solid}
    assert free == {*constants.walkable, "lava"}  # the player may step into lava
