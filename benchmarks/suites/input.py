"""What does a run cost beyond its steps? The feed alone; whole runs in turns with the bare step and with bare calls.

`ratio_to_step` of a run is bare step / run: 0.97 means 3% of overhead. `call` is the same call of several steps as the
run makes, without logs, checkpoints and pictures.
"""

from benchmarks.suites import Case
from jaxgen.assemble import config_named

CONFIGS = {name: config_named(name)[1] for name in ("digits_gan", "image_vae")}

CASES = (
    *(
        Case(f"{name}_feed_{where}", config, "feed", {"resident": where == "resident"}, peers=())
        for name, config in CONFIGS.items()
        for where in ("resident", "streamed")
    ),
    *(
        Case(
            f"{name}_run{suffix}",
            config,
            "run",
            {"pictures": pictures},
            rivals={
                "step": {"kind": "step", "options": {}},
                "call": {"kind": "call", "options": {"steps_per_call": config.loop.steps_per_call}},
            },
            peers=(),
            pairs=3,
        )
        for name, config in CONFIGS.items()
        for suffix, pictures in (("", True), ("_no_pictures", False))
    ),
)
