"""YAML text to plain dicts and lists, strictly: a person writes the file and a program must not misread it.

PyYAML alone keeps the last of two equal keys, reads ``1e-4`` as text, ``no`` as false and ``012`` as ten.
Here a repeated key is an error, ``1e-4`` is a number, only ``true`` and ``false`` are booleans, and every
value knows its line. What the values mean is the caller's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from search_spaces.errors import SpaceError

DEEPEST = 20  # an alias that contains itself would otherwise never end
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)$")
NUMBER = re.compile(
    r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
)


class _Loader(yaml.SafeLoader):
    """The scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's own name; filled below, once


for _tag, _pattern, _first in (
    ("null", re.compile(r"(~|null|Null|NULL|)$"), "~nN\0"),
    ("bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    ("int", INTEGER, "-+0123456789"),
    ("float", NUMBER, "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, [*_first.replace("\0", ""), ""])


@dataclass(frozen=True)
class Document:
    """A YAML file as it was read.

    Args:
        content: the top-level mapping; nested dicts and lists of plain values.
        lines: key path (``parameters.lr.low``, ``configs[0].label``) to line number, counted from 1.
        problems: what is wrong with the text although it could be read, such as repeated keys.
    """

    content: Mapping[str, object]
    lines: Mapping[str, int]
    problems: tuple[str, ...]


def read_yaml(path: Path) -> Document:
    """Read one YAML file.

    Raises:
        SpaceError: if the file cannot be opened, is not UTF-8, is not YAML (with the line), or holds
        anything but
            one mapping.
    """
    heading = f"{path} cannot be read"
    try:
        text = path.read_text(encoding="utf-8-sig")  # Notepad writes a byte-order mark
    except UnicodeDecodeError as error:
        problem = f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8"
        raise SpaceError(problem, heading) from error
    except OSError as error:
        problem = f"{path}: {error.strerror}; allowed: a readable YAML file"
        raise SpaceError(problem, heading) from error
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = (
            f"{path}{line}: not valid YAML: {error.problem or error.context}; check indentation and quotes"
        )
        raise SpaceError(problem, heading) from error
    except yaml.YAMLError as error:
        raise SpaceError(f"{path}: not valid YAML: {error}", heading) from error
    if not isinstance(node, yaml.MappingNode):
        what = "the file is empty" if node is None else "the file is not a mapping"
        raise SpaceError(f"{path}: {what}; allowed: `key: value` lines at the top", heading)
    reading = _Reading()
    content = reading.plain(node, "", 0)
    assert isinstance(content, dict)
    return Document(content, reading.lines, tuple(reading.problems))


def read_scalar(text: str) -> bool | int | float | str | None:
    """One value as this reader would read it in a file: `5`, `1e-3`, `null`, `true`, `dice-bce`.

    Raises:
        SpaceError: if the text is a list or a mapping, or is not YAML.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise SpaceError(
            f"{text!r}: not a plain value; quote it if it is text", "a value cannot be read"
        ) from error
    reading = _Reading()
    value = None if node is None else reading.plain(node, "value", 0)
    if isinstance(value, dict | list) or reading.problems:
        raise SpaceError(
            f"{text!r}: allowed is one plain value, not a list or mapping", "a value cannot be read"
        )
    assert value is None or isinstance(value, bool | int | float | str)
    return value


class _Reading:
    """One walk through the node tree, collecting line numbers and problems."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self.problems: list[str] = []

    def plain(self, node: yaml.Node, path: str, depth: int) -> object:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if depth > DEEPEST:
            self.problems.append(
                f"{path[:60]}: nested deeper than {DEEPEST} levels; an alias may hold itself"
            )
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, object]:
        content: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            inner = f"{path}.{key}" if path else key
            line = key_node.start_mark.line + 1
            if key in content:
                self.problems.append(
                    f"{inner}: declared a second time on line {line} (first on line {self.lines[inner]}); "
                    "keep one of the two"
                )
                continue
            self.lines[inner] = line
            content[key] = self.plain(value_node, inner, depth + 1)
        return content

    def _scalar(self, node: yaml.Node, path: str) -> object:
        tag, text = str(node.tag).removeprefix("tag:yaml.org,2002:"), str(node.value)
        try:
            match tag:
                case "str":
                    return text
                case "null":
                    return None
                case "bool":
                    return text.lower() == "true"
                case "int":
                    return int(text)
                case "float":
                    return float(text.replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            self.problems.append(f"{path}: {text!r} cannot be read as {tag}")
            return None
        self.problems.append(f"{path}: the tag {node.tag} is not known; allowed: plain values without a tag")
        return None
