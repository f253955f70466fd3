import pytest

from jaxgen.errors import UserError, needed


def test_a_missing_package_is_named_with_its_extra():
    with pytest.raises(UserError) as caught, needed("no-such", "music", "all"):
        import no_such_package  # noqa: F401 # pyright: ignore[reportMissingImports]
    assert str(caught.value) == (
        "no-such is needed for music (No module named 'no_such_package'). Install it: pip install \"jaxgen[all]\"."
    )
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_other_errors_are_let_through():
    with pytest.raises(KeyError), needed("a", "b", "c"):
        raise KeyError("not about importing")
