import jax
import jax.numpy as jnp
import pytest

from jaxgen import compiler

NHWC = ("NHWC", "HWIO", "NHWC")


@pytest.mark.parametrize(
    ("version", "option"),
    [("cpu", "xla_cpu"), ("PJRT C API\ncuda 13000", "xla_gpu"), ("rocm 60000", None), ("libtpu 0.0.40", None)],
)
@pytest.mark.parametrize("convolutions", [False, True])
def test_each_backend_has_its_own(version, option, convolutions):
    names = compiler._options(version, convolutions)
    assert all(option and name.startswith(option) for name in names)
    assert bool(names) == bool(option)


@pytest.mark.parametrize(("convolutions", "those"), [(False, compiler._CPU), (True, compiler._CPU_CONVOLUTIONS)])
def test_the_compiler_here_takes_them(convolutions, those):
    options = compiler.compiler_options(convolutions)
    assert options == those
    assert jax.jit(lambda x: x + 1, compiler_options=options)(jnp.ones(())) == 2


def test_a_program_of_convolutions_is_compiled_as_one(monkeypatch):
    asked = []
    monkeypatch.setattr(compiler, "compiler_options", lambda convolutions: asked.append(convolutions) or {})
    x, w = jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1))
    conv = jax.jit(lambda x, w: jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=NHWC))
    assert compiler.compiled(conv.lower(x, w))(x, w)[0, 1, 1, 0] == 9
    assert compiler.compiled(jax.jit(jnp.dot).lower(x[0, 0], x[0, 0].T)).cost_analysis()
    assert asked == [True, False]


def test_an_option_that_is_gone_is_left_out(monkeypatch):
    monkeypatch.setattr(compiler, "_CPU", {"xla_cpu_of_yesterday": True})
    compiler.compiler_options.cache_clear()
    assert compiler.compiler_options() == {}
    compiler.compiler_options.cache_clear()
