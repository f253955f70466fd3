import pytest

from jaxgen.data import takes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("7_jackson_4.wav", ("7", "jackson", True)),
        ("yes_ann-2_005.WAV", ("yes", "ann-2", False)),
        ("7_jackson_4.flac", None),
        ("7_jackson.wav", None),
        ("7_a_b_4.wav", None),
        ("7_jackson_x.wav", None),
        ("7_jackson_1234567.wav", None),
        ("", None),
    ],
)
def test_names(name, expected):
    assert takes.parse(name) == expected
