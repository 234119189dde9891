"""A declared space is read exactly, or refused with file, line, key path, value and what is allowed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from search_spaces import Choice, Float, SpaceError, load_space, shipped_spaces, space_from_mapping

TRAINING_NAMES = {
    *("architecture", "backbone", "encoder_weights", "loss", "lr", "weight_decay", "batch_size"),
    *("max_pos_weight", "scheduler", "oversample", "augmentation", "patience", "amp"),
}


def load_text(folder: Path, text: str) -> object:
    file = folder / "my.yaml"
    file.write_text(text, encoding="utf-8")
    return load_space(file)


def problems_of(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(SpaceError) as caught:
        load_text(folder, text)
    assert all(problem.startswith(str(folder / "my.yaml")) for problem in caught.value.problems)
    return tuple(problem.removeprefix(str(folder / "my.yaml")) for problem in caught.value.problems)


@pytest.mark.parametrize("name", shipped_spaces())
def test_a_shipped_space_is_named_as_its_file_and_says_what_it_is_for(name: str) -> None:
    space = load_space(name)
    assert space.name == name
    assert len(space.description) > 40
    assert set(space.names) <= TRAINING_NAMES


def test_smoke_downloads_nothing_and_is_small() -> None:
    smoke = load_space("smoke")
    assert (smoke.constants["encoder_weights"], smoke.constants["backbone"]) == (
        None,
        "tu-mobilenetv3_small_050",
    )
    assert max(config["batch_size"] for config in smoke.grid(2)) <= 16  # type: ignore[type-var]


def test_unet_searches_what_the_training_notes_varied() -> None:
    unet = load_space("unet")
    domains = {parameter.name: parameter.domain for parameter in unet.parameters}
    assert domains["backbone"] == Choice(("resnet34", "resnet50"))
    assert domains["lr"] == Float(1e-5, 1e-3, log=True)
    assert {"loss", "max_pos_weight", "batch_size", "scheduler"} <= set(domains)


def test_notes_are_trained_with_the_augmentation_of_the_training_notes_unless_pinned() -> None:
    notes = load_space("notes")
    assert [config["augmentation"] for config in notes.configs] == ["notes-clipped"] * 5
    assert {config["augmentation"] for config in notes.pin("augmentation", "standard").configs} == {
        "standard"
    }
    assert "--set augmentation=standard" in notes.description


def test_notes_are_the_five_configs_of_the_training_notes() -> None:
    notes = load_space("notes")
    table = {
        config.label: tuple(
            config.get(name, "absent")
            for name in (
                "backbone",
                "encoder_weights",
                "loss",
                "max_pos_weight",
                "lr",
                "batch_size",
                "scheduler",
            )
        )
        for config in notes.configs
    }
    assert table == {
        "run 1": ("resnet34", None, "dice-bce", None, 1e-4, 16, "cosine"),
        "runs 2, 6, 8": ("resnet34", "imagenet", "dice-bce", 10, 1e-4, 16, "cosine"),
        "run 3": ("resnet50", "imagenet", "dice-bce", 5, 1e-4, 32, "cosine"),
        "run 4": ("resnet34", "imagenet", "dice-focal", "absent", 1e-4, 32, "cosine"),
        "run 5": ("resnet34", "imagenet", "dice-focal", "absent", 5e-5, 32, "plateau"),
    }


def test_scientific_notation_is_a_number_and_yes_is_text(tmp_path: Path) -> None:
    space = load_text(
        tmp_path,
        "space: s\nconstants: {a: 1e-4, b: 1E3, c: -.5, d: yes, e: 010, f: ~, g: true, h: '1',"
        " i: 2026-01-02, j: 1:30}",
    )
    assert dict(space.constants) == {  # type: ignore[attr-defined]
        **{"a": 1e-4, "b": 1000.0, "c": -0.5, "d": "yes", "e": "010", "f": None, "g": True, "h": "1"},
        **{"i": "2026-01-02", "j": "1:30"},
    }


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_bytes(b"\xef\xbb\xbfspace: s\r\nconstants: {lr: 1e-4}\r\n")
    assert load_space(file).name == "s"


def test_anchors_are_followed(tmp_path: Path) -> None:
    text = "space: s\nparameters:\n  a: &d {type: float, low: 0, high: 1}\n  b: *d\n"
    assert [p.domain for p in load_text(tmp_path, text).parameters] == [Float(0, 1)] * 2  # type: ignore[attr-defined]


LOSS = "  loss: {type: choice, values: [dice-bce, dice-focal]}\n"


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ("  lr: {type: float, low: 1, high: 0.5}", ".lr.low: 1 is not below high, which is 0.5; swap them"),
        ("  lr: {type: float, low: 0, high: 1, log: true}", ".lr.low: 0 on a log scale; allowed: above zero"),
        (
            "  lr: {type: float, low: -1, high: 1, log: true}",
            ".lr.low: -1 on a log scale; allowed: above zero",
        ),
        ("  lr: {type: float, low: .nan, high: 1}", ".lr.low: nan is not a number"),
        ("  lr: {type: float, low: '1e-4', high: 1}", ".lr.low: '1e-4' is not a number; remove the quotes"),
        ("  lr: {type: float, low: 1}", ".lr.high: is missing; a float needs low and high"),
        (
            "  lr: {type: float, low: 1, hihg: 2, high: 3}",
            ".lr.hihg: is not a key here; did you mean 'high'?",
        ),
        ("  lr: {type: flaot, low: 1, high: 2}", ".lr.type: 'flaot' is not a type; did you mean 'float'?"),
        ("  lr: {low: 1, high: 2}", ".lr.type: is missing; allowed: choice, float, int"),
        ("  lr: {type: [float], low: 1, high: 2}", ".lr.type: ['float'] is not a type; did you mean"),
        ("  lr: [1, 2]", ".lr: [1, 2] is not a mapping; write for example {type: choice"),
        ("  n: {type: int, low: 1.5, high: 2}", ".n.low: 1.5 is not a whole number"),
        ("  c: {type: choice, values: []}", ".c.values: the list is empty; give at least one value"),
        (
            "  c: {type: choice, values: a}",
            ".c.values: 'a' is not a list; write the values in square brackets",
        ),
        ("  c: {type: choice, values: [a, 1, a]}", ".c.values[2]: a is listed twice; remove one"),
        (
            "  c: {type: choice, values: [1], low: 3}",
            ".c.low: is not a key here; allowed: type, values, when",
        ),
        ("  a-b: {type: int, low: 1, high: 2}", ".a-b: is not a name; allowed: letters, digits, underscores"),
        (
            LOSS + "  c: {type: int, low: 1, high: 2, when: {los: [x]}}",
            ".c.when.los: there is no parameter 'los'; did",
        ),
        (
            LOSS + "  c: {type: int, low: 1, high: 2, when: {loss: [dice-bc]}}",
            ".c.when.loss: dice-bc is not a value of loss; did you mean 'dice-bce'? (allowed: dice-bce",
        ),
        (
            LOSS + "  c: {type: int, low: 1, high: 2, when: {loss: dice-bce}}",
            ".c.when.loss: 'dice-bce' is not a list",
        ),
        (LOSS + "  c: {type: int, low: 1, high: 2, when: loss}", ".c.when: 'loss' is not a mapping"),
        (
            "  a: {type: choice, values: [1], when: {b: [1]}}\n"
            "  b: {type: choice, values: [1], when: {a: [1]}}",
            ".a.when: a waits for b waits for a; remove one of these conditions",
        ),
    ],
)
def test_a_bad_parameter_is_refused_with_line_key_path_and_remedy(
    tmp_path: Path, declared: str, problem: str
) -> None:
    problems = problems_of(tmp_path, "space: s\nparameters:\n" + declared)
    assert len(problems) == 1, problems
    line = 4 if declared.startswith(LOSS) else 3
    assert problems[0].startswith(f", line {line}: parameters{problem}"), problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("parameters:\n" + LOSS, ": space: is missing"),
        ("space: 3\nconstants: {a: 1}", ", line 1: space: 3 is not a text"),
        (
            "space: s\ndesription: x\nconstants: {a: 1}",
            ", line 2: desription: is not a key here; did you mean 'descr",
        ),
        ("space: s", ": parameters: the space is empty"),
        ("space: s\nconstants: [1]", ", line 2: constants: [1] is not a mapping"),
        ("space: s\nconstants: {a: [1]}", ", line 2: constants.a: [1] cannot be a value; allowed: text"),
        ("space: s\nconstants: {a: .inf}", ", line 2: constants.a: inf cannot be a value"),
        ("space: s\nconfigs: x", ", line 2: configs: 'x' is not a list"),
        ("space: s\nconfigs:\n- 3", ", line 3: configs[0]: 3 is not a mapping; allowed keys: label, values"),
        (
            "space: s\nconfigs:\n- {valeus: {a: 1}, values: {a: 1}}",
            ", line 3: configs[0].valeus: is not a key here; did",
        ),
        ("space: s\nconfigs:\n- {label: x}", ", line 3: configs[0].values: is missing or empty"),
        (
            "space: s\nconfigs:\n- values: {a: 1}\n- values: {a: 1}",
            ", line 4: configs[1]: the same values as configs[0]",
        ),
        (
            "space: s\nconstants: {a: 1}\nspace: t",
            ", line 1: space: declared a second time on line 3 (first on line 1)",
        ),
        (
            "space: s\nconstants:\n  a: 1\n  b: 2\n  a: 3",
            ", line 3: constants.a: declared a second time on line 5",
        ),
        ("space: s\nconstants: {a: !!python/name:os.system x}", ", line 2: constants.a: the tag"),
        ("space: s\nconstants: {a: !!int x}", ", line 2: constants.a: 'x' cannot be read as int"),
    ],
)
def test_a_bad_file_is_refused_with_line_key_path_and_remedy(tmp_path: Path, text: str, problem: str) -> None:
    problems = problems_of(tmp_path, text)
    assert len(problems) == 1, problems
    assert problems[0].startswith(problem), problems


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("- a\n- b", "the file is not a mapping"),
        ("space: s\nparameters: {lr: [1\nb: 2", "line 3, column 2: not valid YAML"),
        ("space: s\n\tlr: 1", "line 2, column 1: not valid YAML"),
        ("a: 1\n---\nb: 2", "line 2, column 1: not valid YAML"),
        ("a: \x07", "not valid YAML"),
        ("space: &x {a: *x}", "nested deeper than 20 levels"),
    ],
)
def test_what_is_not_one_yaml_mapping_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    assert any(words in problem for problem in problems_of(tmp_path, text))


def test_all_problems_of_a_file_are_reported_together(tmp_path: Path) -> None:
    text = (
        "space: s\nnotes: x\nconstants: {a: [1]}\nparameters:\n"
        "  lr: {type: float, low: 1, high: 0}\n"
        "  n: {type: itn, low: 1, high: 2}\n"
        "  c: {type: choice, values: [], when: {lr: [1], n: [1], a: [1], z: [1]}}\n"
        "  d: {type: choice, values: [1], when: {z: [1]}}\n"
    )
    where = [problem.split(": ")[1] for problem in problems_of(tmp_path, text)]
    # conditions on `lr`, `n` and `a`, which were declared but could not be read, are not called unknown
    expected = {"notes", "constants.a", "parameters.lr.low", "parameters.n.type", "parameters.c.values"}
    assert set(where) == expected | {"parameters.d.when.z"}


def test_an_unknown_name_lists_the_shipped_spaces_and_the_close_one() -> None:
    with pytest.raises(SpaceError) as caught:
        load_space("unett")
    message = str(caught.value)
    assert "did you mean 'unet'? (shipped spaces: notes, smoke, unet)" in message
    assert str(Path("unett").absolute()) in message


def test_a_missing_file_a_folder_and_a_foreign_encoding_are_refused(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("space: é".encode("latin-1"))
    for path, words in (
        (tmp_path / "no.yaml", "no such file"),
        (tmp_path, "is a folder"),
        (latin, "not UTF-8 text"),
    ):
        with pytest.raises(SpaceError, match=words):
            load_space(path)


def test_a_mapping_from_elsewhere_is_refused_in_the_name_of_its_source() -> None:
    with pytest.raises(SpaceError, match=r"sweep\.json: parameters\.lr\.low: 2 is not below high"):
        space_from_mapping(
            {"space": "s", "parameters": {"lr": {"type": "float", "low": 2, "high": 1}}}, source="sweep.json"
        )


@pytest.mark.parametrize("name", shipped_spaces())
def test_shipped_spaces_survive_their_nested_form(name: str) -> None:
    space = load_space(name)
    assert space_from_mapping(space.to_dict(), "memory") == space


def test_fixed_configs_come_with_parameters_and_are_checked_against_them(tmp_path: Path) -> None:
    text = "space: s\nparameters:\n" + LOSS + "configs:\n- values: {loss: dice-bce}\n- values: {loss: dice}\n"
    assert problems_of(tmp_path, text) == (
        ", line 6: configs[1].values.loss: 'dice' is outside; allowed: one of dice-bce, dice-focal",
    )
    space = load_text(tmp_path, text.replace("- values: {loss: dice}\n", ""))
    assert space.sample(np.random.default_rng(0))["loss"] in ("dice-bce", "dice-focal")  # type: ignore[attr-defined]


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, search_spaces; search_spaces.load_space('unet');"
        "print(sorted({'numpy', 'torch', 'ray', 'pyarrow', 'landslide'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
