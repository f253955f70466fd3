import jax
import jax.numpy as jnp
import pytest

from jaxgen import compiler


@pytest.mark.parametrize(
    ("version", "option"),
    [("cpu", "xla_cpu"), ("PJRT C API\ncuda 13000", "xla_gpu"), ("rocm 60000", None), ("libtpu 0.0.40", None)],
)
def test_each_backend_has_its_own(version, option):
    names = compiler._options(version)
    assert all(option and name.startswith(option) for name in names)
    assert bool(names) == bool(option)


def test_the_compiler_here_takes_them():
    options = compiler.compiler_options()
    assert options == compiler._CPU
    assert jax.jit(lambda x: x + 1, compiler_options=options)(jnp.ones(())) == 2


def test_an_option_that_is_gone_is_left_out(monkeypatch):
    monkeypatch.setattr(compiler, "_CPU", {"xla_cpu_of_yesterday": True})
    compiler.compiler_options.cache_clear()
    assert compiler.compiler_options() == {}
    compiler.compiler_options.cache_clear()
