"""The commands `landslide-tune space list | show | validate`: look at search spaces before anything runs.

Whether a space is valid is decided in `search_spaces` and `tune.space_check`; this file only shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from search_spaces import SearchSpace, SpaceError, Value, load_space, shipped_spaces
from search_spaces.domains import show as show_value
from tune.cli.terminal import as_json_option, print_json

if TYPE_CHECKING:
    from rich.table import Table


@click.group()
def space() -> None:
    """Look at search spaces: what is tried, within which bounds.

    \b
    Example:   landslide-tune space show unet
    """


@space.command("list")
@as_json_option
def list_spaces(as_json: bool) -> None:
    """List the spaces that come with the package.

    \b
    Example:   landslide-tune space list
    """
    spaces = [load_space(name) for name in shipped_spaces()]
    if as_json:
        print_json([_summary(entry) for entry in spaces])
        return
    table = _table("name", "parameters", "fixed configs", "description")
    for entry in spaces:
        first = entry.description.split(". ")[0]  # `space show` gives the rest
        table.add_row(entry.name, str(len(entry.parameters)), str(len(entry.configs)), first)
    _print_table(table)


@space.command("show")
@click.argument("name_or_file")
@click.option(
    "--points",
    type=click.IntRange(min=1, max=10_000),
    default=3,
    show_default=True,
    help="Values per continuous parameter when counting grid points.",
)
@as_json_option
def show_space(name_or_file: str, points: int, as_json: bool) -> None:
    """Show a space: parameters, conditions, constants, fixed configs, grid size.

    \b
    Example:   landslide-tune space show unet
    """
    shown = load_space(name_or_file)
    if as_json:
        ids = [config.config_id for config in shown.configs]
        size = {"grid_points": points, "grid_size": shown.size(points)}
        print_json({"space_id": shown.space_id, **size, "config_ids": ids, "definition": shown.to_dict()})
        return
    click.echo(f"{shown.name} (space {shown.space_id})")
    if shown.description:
        click.echo(click.wrap_text(shown.description, width=100))
    if shown.parameters:
        _print_table(_parameter_table(shown))
    if shown.constants:
        constants = _table("constant", "value")
        for name, value in shown.constants.items():
            constants.add_row(name, show_value(value))
        _print_table(constants)
    if shown.configs:
        _print_table(_config_table(shown))
    what = f"with {points} values per continuous parameter" if shown.parameters else "the fixed configs"
    click.echo(f"grid: {shown.size(points)} configs ({what})")


@space.command("validate")
@click.argument("file")
@click.option("--quick", is_flag=True, help="Do not build the models, which takes seconds.")
@as_json_option
def validate_space(file: str, quick: bool, as_json: bool) -> None:
    """Check a space, and that training accepts whatever it may propose.

    FILE is a YAML file or the name of a shipped space. Exit code 2 if anything is wrong.

    \b
    Example:   landslide-tune space validate my_space.yaml
    """
    try:
        checked = load_space(file)
        problems = _training_problems(checked, quick=quick)
        if problems:
            located = [f"{file}: {problem}" for problem in problems]
            raise SpaceError(located, f"training does not accept the search space {file}")
    except SpaceError as error:
        if as_json:
            print_json({"file": file, "valid": False, "problems": list(error.problems)})
        raise
    if as_json:
        print_json({"file": file, "valid": True, "problems": [], **_summary(checked)})
        return
    counts = f"{len(checked.parameters)} parameters, {len(checked.configs)} fixed configs"
    click.echo(f"{file}: valid; space {checked.name} ({checked.space_id}), {counts}")


def _training_problems(checked: SearchSpace, *, quick: bool) -> list[str]:
    from tune.space_check import model_problems, settings_problems

    problems = settings_problems(checked)
    if quick:
        return problems
    from rich.console import Console

    with Console(stderr=True).status("building each model once"):
        return problems + [text for text in model_problems(checked) if text not in problems]


def _summary(shown: SearchSpace) -> dict[str, Any]:
    return {
        "space": shown.name,
        "space_id": shown.space_id,
        "description": shown.description,
        "parameters": [parameter.name for parameter in shown.parameters],
        "fixed_configs": len(shown.configs),
    }


def _parameter_table(shown: SearchSpace) -> Table:
    table = _table("parameter", "type", "domain", "only when")
    for parameter in shown.parameters:
        table.add_row(
            parameter.name, parameter.domain.type, parameter.domain.describe(), parameter.describe_when()
        )
    return table


def _config_table(shown: SearchSpace) -> Table:
    """One column per config, because a config has more names than a terminal has room for columns."""
    table = _table("fixed config", *(config.label or config.config_id for config in shown.configs))
    for name in shown.names:
        if name not in shown.constants:
            table.add_row(name, *(_cell(config.get(name), name in config) for config in shown.configs))
    table.add_row("config id", *(config.config_id for config in shown.configs))
    return table


def _cell(value: Value, present: bool) -> str:
    return show_value(value) if present else "-"


def _table(*headings: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(*headings, box=box.SIMPLE_HEAD)
    for column in table.columns:
        column.overflow = "fold"
    return table


def _print_table(table: Table) -> None:
    from rich.console import Console

    Console(markup=False, highlight=False).print(table)
