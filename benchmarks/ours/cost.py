"""What a step costs, besides time: arithmetic and memory."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr

import jaxgen
from benchmarks.ours.system import jit_step
from jaxgen.assemble import Built, example_batch, on_one_device
from jaxgen.config import Adversarial, AdversarialSequence, Config, Variational, VariationalSequence

Assemble = Callable[[Config], Built]


def costs(config: Config, assemble: Assemble = jaxgen.build) -> dict[str, Any]:
    """`flops_per_step`, `state_bytes`, and the device's `peak_memory_bytes` where the backend tells it (CPU does
    not)."""
    of_step = {"flops_per_step": step_flops(config, assemble), "state_bytes": state_bytes(config, assemble)}
    return of_step | peak_memory()


def state_bytes(config: Config, assemble: Assemble = jaxgen.build) -> int:
    """Of weights, moments, averages, statistics: what every step reads and writes at least once."""
    _, state, _, _ = _abstract(config, assemble)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def peak_memory() -> dict[str, Any]:
    """The most that lay on the first device at once; nothing where the backend does not say."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" not in stats:
        return {}
    return {"peak_memory_bytes": stats["peak_bytes_in_use"], "peak_memory_source": "device"}


def step_flops(config: Config, assemble: Assemble = jaxgen.build) -> float | None:
    """Floating-point operations of a train step on the whole batch, the mean over the interval of a lazy penalty.

    XLA's cost analysis of the program as lowered with XLA's own convolutions (for TPU, on every backend), before it is
    optimised: the same number everywhere. On CPU the program itself has fewer products (`models/convolution_cpu.py`)
    and makes them in loops, of whose bodies XLA counts one turn: DCGAN 28x28, batch 128: 34.2 GFLOP of 48.3. With the
    phase form, in place of these, the compiled program had 48.4, and its YNN fusions were counted as what is in them
    (digits GAN: 7.18 before, 7.21 after compilation). By hand: 53.9, which is 48 without the products with a
    convolution's zero padding, which XLA leaves out. It costs no second compilation, and on a GPU the compiled program
    has cuDNN's and cuBLAS's calls, which are not counted. XLA counts the dearer branch of a condition and the body of a
    loop once: so a step with and one without its penalty are counted apart, and None is returned where several critic
    steps are a loop, or the backend does not count. Games of sequences are nothing but loops: of these, the products
    of matrices alone are counted (`products`), in the phase that the run begins with.
    """
    rules = config.game
    count = _product_flops if isinstance(rules, VariationalSequence | AdversarialSequence) else _flops
    if isinstance(rules, Variational | VariationalSequence):
        return count(config, assemble)
    if isinstance(rules, Adversarial) and rules.critic_steps > 2:  # the last one stands outside the loop
        return None
    plain = count(replace(config, game=replace(rules, penalty="")), assemble)
    if not rules.penalty:
        return plain
    penalised = count(replace(config, game=replace(rules, penalty_every=1)), assemble)
    if plain is None or penalised is None:
        return None
    return plain + (penalised - plain) / rules.penalty_every


def products(jaxpr: Any, branch: int | None = None) -> float:
    """Operations of all products of matrices in a jaxpr, those of a loop's body as often as it runs. A choice among
    three takes its `branch`, any other the dearest."""
    total = 0.0
    for eqn in jaxpr.eqns:
        inner = [products(each, branch) for each in _inside(eqn.params)]
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            left, out = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
            total += 2 * math.prod(out) * math.prod(left[axis] for axis in contracted)
        elif eqn.primitive.name == "cond":
            total += inner[branch] if branch is not None and len(inner) == 3 else max(inner)
        else:
            total += sum(inner) * (eqn.params["length"] if eqn.primitive.name == "scan" else 1)
    return total


def _inside(params: Mapping[str, Any]) -> list[Any]:
    """The jaxprs among an equation's parameters, a choice's branches in their order."""
    each = [a for value in params.values() for a in (value if isinstance(value, tuple | list) else (value,))]
    return [getattr(a, "jaxpr", a) for a in each if isinstance(a, Jaxpr | ClosedJaxpr)]


def _product_flops(config: Config, assemble: Assemble) -> float:
    game, state, batch, train_step = _abstract(config, assemble)
    rules, first = config.game, None
    if isinstance(rules, AdversarialSequence):
        first = 0 if rules.pretrain else 1 if rules.critic_pretrain else 2
    return products(jax.make_jaxpr(partial(train_step, game=game))(state, batch).jaxpr, first)


def _flops(config: Config, assemble: Assemble) -> float | None:
    game, state, batch, train_step = _abstract(config, assemble)
    # By the CPU's client: the one for CUDA answers None for what is lowered for another platform.
    with jax.default_device(jax.devices("cpu")[0]):
        traced = jit_step(train_step, config).trace(state, batch, game=game)
        analysis = traced.lower(lowering_platforms=("tpu",)).cost_analysis()
    return analysis["flops"] if analysis else None


def _abstract(config: Config, assemble: Assemble) -> tuple[Any, Any, dict[str, Any], Callable[..., Any]]:
    """(game, shapes of a state, of a batch, the step) on one device."""
    game, init, train_step = assemble(on_one_device(config))
    one = jax.eval_shape(partial(example_batch, config))
    batch = {name: jax.ShapeDtypeStruct((config.batch, *a.shape[1:]), a.dtype) for name, a in one.items()}
    return game, jax.eval_shape(partial(init, game=game), jax.random.key(0), batch), batch, train_step
