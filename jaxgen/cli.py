"""The command line: `jaxgen train CONFIG | sample RUN | evaluate RUN | report RUN`."""

import dataclasses
import errno
import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxgen.config import Config, nearest
from jaxgen.errors import UserError
from jaxgen.memory import huge_pages

USAGE = """usage: jaxgen train CONFIG [--workdir DIR] [--loop.steps N ...]   train, or go on with the run in DIR
       jaxgen sample RUN [--num N] [--seed S] [--out PATH]       write samples of a run
       jaxgen evaluate RUN [--json PATH]                         print a run's metrics on held-out data
       jaxgen report RUN [--out PATH]                            make a page of a run, also while it goes on

Each has --help; `jaxgen train CONFIG --help` lists every field of a config. CONFIG is a .py file, the config.json of a
run, or one of:
"""


@dataclasses.dataclass(frozen=True)
class Train:
    """Train a config; run again on the same directory it goes on where it was."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    workdir: str  # directory of the run
    distributed: bool = False  # this is one of several processes
    coordinator: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None  # of process 0; TPU, SLURM tell it
    processes: int | None = None  # how many
    process: int | None = None  # which one this is, from 0
    join_timeout: int = 300  # seconds to wait for the others


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Print a run's metrics on held-out data."""

    run: tyro.conf.Positional[str]  # directory of the run
    json: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None  # write them to a file, too


@dataclasses.dataclass(frozen=True)
class Report:
    """Make a page of a run, one HTML file that needs nothing beside itself; also while the run goes on."""

    run: tyro.conf.Positional[str]  # directory of the run
    out: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None  # an .html file; else RUN/report.html


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code: 0 when done or stopped by a signal, 2 for what the user can mend."""
    words = sys.argv[1:] if argv is None else argv
    if argv is None and words[:1] == ["train"] and (more := huge_pages()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | more)  # the same process, anew
    try:
        return _dispatch(words)
    except UserError as error:
        return _complain(str(error))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _complain(f"The disk is full: {error.filename or 'a file'} could not be written. Free some space.")
        if isinstance(error, PermissionError):
            return _complain(f"{error.filename}: permission denied. Choose another directory.")
        if isinstance(error, FileExistsError | NotADirectoryError):
            return _complain(f"{error.filename} can't be made: a file is in its way. Choose another path.")
        raise
    except KeyboardInterrupt:  # outside the loop, where there is nothing to save
        return 130


def _dispatch(words: list[str]) -> int:
    commands = {"train": _train, "sample": _sample, "evaluate": _evaluate, "report": _report}
    if not words or words[0] in ("-h", "--help"):
        print(_usage())
        return 0 if words else 2
    if words[0] not in commands:
        raise UserError(f"There is no command {words[0]!r}{nearest(words[0], commands)}.")
    return commands[words[0]](words[1:])


def _train(words: list[str]) -> int:
    if not words or words[0].startswith("-"):
        print(_usage())
        return 0 if words and words[0] in ("-h", "--help") else 2
    from jaxgen.assemble import config_named

    name, default = config_named(words[0])
    args = tyro.cli(
        Train,
        prog=f"jaxgen train {words[0]}",
        default=Train(default, os.path.join("runs", name)),
        args=words[1:],
        config=(tyro.conf.AvoidSubcommands,),
    )
    named = (args.coordinator, args.processes, args.process)
    if not args.distributed and named == (None, None, None):
        return _run(args)
    from jaxgen.processes import joined

    with joined(*named, timeout=args.join_timeout):
        return _run(args)


def _run(args: Train) -> int:
    """Trains; process 0 measures and says what came of it."""
    import jax

    _use_compilation_cache(args.config)
    from jaxgen.train import train

    start = time.perf_counter()
    outcome = train(args.config, args.workdir)
    if not outcome.finished or jax.process_index() != 0:
        return 0
    if not outcome.trained:
        print(f"{args.workdir} was finished at step {outcome.step}. For more, raise --loop.steps.")
    else:
        from jaxgen.evaluate import evaluate

        try:
            print(_table(evaluate(args.workdir)))
        except UserError as error:  # few held-out images, say: the training itself came to its end
            print(f"No metrics: {error}")
        print(f"{outcome.step} steps in {time.perf_counter() - start:.0f} s, metrics included")
    for path in (*outcome.pictures, outcome.checkpoint):
        print(path)
    return 0


def _sample(words: list[str]) -> int:
    """The options are those of the run's domain, so the run comes first."""
    from jaxgen.assemble import domain
    from jaxgen.domains import LatentOptions
    from jaxgen.run_directory import read_config

    run = words[0] if words and not words[0].startswith("-") else ""
    if not run and not {"-h", "--help"} & set(words):
        raise UserError("Give the directory of a run first: jaxgen sample RUN [--num N] [--seed S] [--out PATH].")
    kind = domain(read_config(run)[0]).options if run else LatentOptions
    options = tyro.cli(
        kind,
        prog=f"jaxgen sample {run or 'RUN'}",
        description="Write samples of a run, without its data set. Its domain may have more options than these."
        if not run
        else "Write samples of a run, without its data set.",
        args=words[1:] if run else words,
    )
    from jaxgen.sample import sample

    for path in sample(run, options):
        print(path)
    return 0


def _evaluate(words: list[str]) -> int:
    args = tyro.cli(Evaluate, prog="jaxgen evaluate", args=words)
    from jaxgen.evaluate import evaluate

    found = evaluate(args.run)
    print(_table(found))
    if args.json:
        path = Path(args.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def _report(words: list[str]) -> int:
    args = tyro.cli(Report, prog="jaxgen report", args=words)
    from jaxgen import run_report

    print(run_report.write(args.run, args.out))
    return 0


def _table(found: dict[str, Any]) -> str:
    wide = max(map(len, found))
    return "\n".join(
        f"{name:<{wide}}  {f'{value:.4f}' if isinstance(value, float) else value}" for name, value in found.items()
    )


def _usage() -> str:
    from jaxgen.assemble import configs

    return USAGE + "\n".join(f"  {name}" for name in configs())


def _complain(message: str) -> int:
    print(f"jaxgen: {message}", file=sys.stderr)
    return 2


def _use_compilation_cache(config: Config) -> None:
    """Keeps compiled programs beside the data, readable by the user alone: the files are executable code."""
    import jax

    from jaxgen.data.cache import cache_dir

    settings: Any = jax.config  # its attributes appear only when it runs
    if settings.jax_compilation_cache_dir is None:
        folder = cache_dir(config.data_dir) / "xla"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(folder))


if __name__ == "__main__":
    sys.exit(main())
