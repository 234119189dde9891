"""What is checked and built before the first trial starts: the data, the models, the machine. All problems at once.

After `prepare` has returned, every config can be trained here: its data is packed, its model was built once and took
one patch of this size, its pretrained weights are on this machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from landslide import DatasetError, LandslideError, PackedDataset, TrainSettings
from search_spaces import Config
from tune.dataset import open_dataset
from tune.errors import SweepError
from tune.searchers import Searcher, make_searcher
from tune.space_check import models_of, space_models
from tune.sweep import AUTO, Sweep


def prepare(
    sweep: Sweep,
    *,
    on_this_machine: bool,
    progress: Callable[[int, int], None] | None,
    recorded: Sequence[Config] = (),
) -> PackedDataset:
    """Open the dataset and make sure that every config of the sweep can be trained on it.

    Args:
        sweep: checked by itself already.
        on_this_machine: trials run here, so that this machine's CPUs and GPUs are what counts.
        progress: told how many of how many patches are packed, when the cache has to be built.
        recorded: the configs that a sweep that is resumed has proposed already.

    Raises:
        DatasetError: the dataset cannot be used; every problem.
        SweepError: the machine or a model cannot do what the sweep asks for; every problem.
    """
    from landslide.run import data_problems

    problems = machine_problems(sweep) if on_this_machine else []
    try:
        data = open_dataset(sweep.data_dir, progress=progress)
    except DatasetError as error:
        if problems:
            raise SweepError([*problems, *error.problems]) from error
        raise
    problems += [f"{sweep.data_dir}: {problem}" for problem in data_problems(data)]
    problems += build_problems(sweep_models(sweep, recorded), data)
    if problems:
        raise SweepError(problems)
    return data


def machine_problems(sweep: Sweep) -> list[str]:
    """What this machine lacks for a single trial."""
    found = []
    cpus = os.cpu_count() or 1
    if sweep.cpus_per_trial > cpus:
        found.append(
            f"cpus_per_trial: a trial asks for {sweep.cpus_per_trial:g} CPUs, this machine has {cpus}; lower it"
        )
    if sweep.device == "cuda":
        import torch

        from landslide.card import find_card

        card = find_card()
        gpus = 0 if card is None else card.count
        automatic = sweep.gpus_per_trial == AUTO
        asks = "auto measures on a GPU" if automatic else f"a trial asks for {sweep.gpu_share:g} GPUs"
        if sweep.gpu_share > gpus:
            found.append(
                f"gpus_per_trial: {asks}, and torch {torch.__version__} sees {gpus} on this machine; "
                f"{'' if automatic else 'lower it, '}use --gpus-per-trial 0 for the CPU, --address for machines that "
                "have some, or install a CUDA build of torch and the driver"
            )
    return found


def build_problems(models: Iterable[TrainSettings], data: PackedDataset) -> list[str]:
    """Build each of the models once, fetching pretrained weights if it has them, and show it one empty patch."""
    from landslide.model import build_model, check_patch_size

    found: dict[str, None] = {}
    for settings in models:
        try:
            check_patch_size(build_model(settings, data.bands, seed=0), data.bands, data.patch_size)
        except LandslideError as error:
            found.update(dict.fromkeys(_told(problem, settings) for problem in error.problems))
    return list(found)


def sweep_models(sweep: Sweep, recorded: Sequence[Config] = ()) -> Iterator[TrainSettings]:
    """Default settings with each architecture, encoder and weights that the sweep will train.

    Where proposals depend on results, those that it may train: all that the space can propose.

    Args:
        sweep: that is to be run.
        recorded: the configs that it has proposed already.
    """
    searcher = make_searcher(sweep.searcher, grid_points=sweep.grid_points)
    if searcher.learns:
        return space_models(sweep.space)
    return models_of(config.values for config in foreseen(sweep, searcher, recorded))


def foreseen(sweep: Sweep, searcher: Searcher, recorded: Sequence[Config] = ()) -> Iterator[Config]:
    """The configs of a sweep whose searcher does not look at results, the recorded ones first."""
    before = [*recorded]
    yield from before
    while len(before) < sweep.configs:
        config = searcher.suggest(len(before), before, space=sweep.space, seed=sweep.seed)
        if config is None:
            return
        before.append(config)
        yield config


def _told(problem: str, settings: TrainSettings) -> str:
    return f"{settings.architecture} with {settings.backbone}: {problem}"
