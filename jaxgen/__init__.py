"""GANs and VAEs in JAX: pure train steps to import, and runs to start, stop and resume."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxgen.assemble import build as build
    from jaxgen.compiler import compiler_options as compiler_options

__all__ = ["build", "compiler_options"]


def __getattr__(name: str) -> Any:
    """Imported on first use: `import jaxgen` itself does no work."""
    if name == "build":
        from jaxgen.assemble import build

        return build
    if name == "compiler_options":
        from jaxgen.compiler import compiler_options

        return compiler_options
    raise AttributeError(f"module 'jaxgen' has no attribute {name!r}")
