"""Does training accept what a search space may propose? Asked before anything starts.

Nothing is trained here. `search_spaces` does not know what its names mean and `landslide` does not know
that spaces exist, so the question belongs here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from landslide.errors import SettingsError
from landslide.settings import TrainSettings
from search_spaces import Parameter, SearchSpace, Value
from search_spaces.domains import show

#: Combinations of domain ends and choices that are tried together; beyond that a space is checked value by
#: value.
MOST_COMBINATIONS = 512

MODEL_NAMES = ("architecture", "backbone", "encoder_weights")
BANDS = 14  # of Landslide4Sense; whether a model can be built does not depend on it


def settings_problems(space: SearchSpace) -> list[str]:
    """Say what `landslide.TrainSettings` would reject of a space: unknown names, values out of range.

    Tried are the constants, both ends of each numeric domain, each choice, and each fixed config; and, if
    those are accepted one by one, up to 512 of their combinations. The ranges of the settings have no
    holes, so that what holds at both ends holds in between. Takes milliseconds and does not load torch;
    whether the models exist is the question of `model_problems`.

    Returns:
        Sentences that name the space and the parameter; none if every config can be trained with.
    """
    found: dict[str, str] = {}  # what the settings said -> where in the space, the first time
    for where, values in _single_values(space):
        for problem in _rejections(values):
            found.setdefault(problem, where)
    if not found:
        for where, values in _combinations(space):
            for problem in _rejections(values):
                found.setdefault(problem, where)
    problems = [f"space {space.name!r}, {where}: {problem}" for problem, where in found.items()]
    if "epochs" in space.names:
        advice = "epochs are the sweep's, the same for every config; remove it and use --max-epochs"
        problems.append(f"space {space.name!r}, epochs: {advice}")
    return problems


def model_problems(space: SearchSpace) -> list[str]:
    """Say which encoders, pretrained weights and models of a space do not exist.

    Only what can occur together is asked for. Each architecture is built once with each of its encoders, from
    random weights; loads torch, and takes about a second per model. What `settings_problems` rejects is left
    out.
    """
    from landslide import ModelError
    from landslide.model import encoder_problems, rebuild_model

    found: dict[str, None] = {}
    built: set[tuple[str, str]] = set()
    for settings in space_models(space):
        problems = encoder_problems(settings)
        pair = settings.architecture, settings.backbone
        if not problems and pair not in built:
            built.add(pair)
            try:
                rebuild_model(*pair, in_channels=BANDS)
            except ModelError as error:
                problems = list(error.problems)
        found.update(dict.fromkeys(problems))
    return [f"space {space.name!r}: {problem}" for problem in found]


def space_models(space: SearchSpace) -> Iterator[TrainSettings]:
    """Default settings with each combination of architecture, encoder and weights that the space may propose."""
    return models_of(projections(space, MODEL_NAMES, points=2))


def models_of(proposed: Iterable[Mapping[str, Value]]) -> Iterator[TrainSettings]:
    """Default settings with each combination of architecture, encoder and weights among the values, each once.

    What `settings_problems` rejects is left out.
    """
    seen: set[tuple[str, str, str | None]] = set()
    for values in proposed:
        chosen = {name: values[name] for name in MODEL_NAMES if name in values}
        try:
            settings = TrainSettings.from_mapping(chosen)
        except SettingsError:
            continue
        model = settings.architecture, settings.backbone, settings.encoder_weights
        if model not in seen:
            seen.add(model)
            yield settings


def projections(space: SearchSpace, names: Iterable[str], *, points: int) -> Iterator[Mapping[str, Value]]:
    """The fixed configs, and the combinations of the values of some parameters and their parents.

    Args:
        space: of which other parameters are left out.
        names: of the parameters.
        points: values of each numeric one.
    """
    yield from (config.values for config in space.configs)
    searched = {parameter.name: parameter for parameter in space.parameters}
    kept: dict[str, Parameter] = {}
    waiting = [name for name in names if name in searched]
    while waiting:
        parameter = searched[waiting.pop()]
        kept[parameter.name] = parameter
        waiting += [
            c.parameter for c in parameter.when if c.parameter in searched and c.parameter not in kept
        ]
    if kept:
        projected = SearchSpace(space.name, tuple(kept.values()), space.constants)
        yield from (config.values for config in projected.grid(points=points))
    elif space.parameters or not space.configs:
        yield space.constants


def _rejections(values: Mapping[str, Value]) -> tuple[str, ...]:
    try:
        TrainSettings.from_mapping(values)
    except SettingsError as error:
        return error.problems
    return ()


def _single_values(space: SearchSpace) -> Iterator[tuple[str, Mapping[str, Value]]]:
    """Each declared value with as little around it as it needs, and where it is declared."""
    yield "constants", space.constants
    for parameter in space.parameters:
        around = {**space.constants, **_parent_values(space, parameter)}
        for value in parameter.domain.grid(2):
            yield f"parameters.{parameter.name} = {show(value)}", {**around, parameter.name: value}
    for index, config in enumerate(space.configs):
        yield f"configs[{index}]" + (f" ({config.label})" if config.label else ""), config.values


def _parent_values(space: SearchSpace, parameter: Parameter) -> dict[str, Value]:
    """Values under which the parameter is active, for its parents that are parameters, and theirs."""
    searched = {candidate.name: candidate for candidate in space.parameters}
    values: dict[str, Value] = {}
    for condition in parameter.when:
        if condition.parameter in searched:
            values |= _parent_values(space, searched[condition.parameter])
            values[condition.parameter] = condition.values[0]
    return values


def _combinations(space: SearchSpace) -> Iterator[tuple[str, Mapping[str, Value]]]:
    for config in islice(space.grid(points=2), MOST_COMBINATIONS):
        yield f"config {config.config_id}", config.values
