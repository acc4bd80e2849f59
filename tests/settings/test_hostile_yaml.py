"""Texts built to exhaust the reader, and the agreement of both parsers."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scheduler.settings import nodes
from scheduler.settings.nodes import compose
from scheduler.settings.scalars import PlainError, plain_value
from scheduler.settings.values import Values

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{previous}'] * 9)}]\n" for previous, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture(params=["libyaml", "pure"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pure":
        monkeypatch.setattr(nodes, "_LOADER", yaml.SafeLoader)
    return request.param


def problem_of(text: str) -> str:
    node = compose(text, "f.yaml", problems := [])
    assert node is None
    [problem] = problems
    return str(problem)


def test_an_alias_bomb_of_a_few_hundred_bytes_stops_early(parser: str) -> None:
    assert len(BOMB) < 400
    assert problem_of(BOMB) == "f.yaml:6:8: too many aliases: at most 100, standing for at most 100000 values, are allowed"


def test_more_than_a_hundred_aliases(parser: str) -> None:
    text = "a: &a 1\nb: [" + ", ".join(["*a"] * 101) + "]\n"
    assert problem_of(text).startswith("f.yaml:2:405: too many aliases")
    assert compose(text.replace("*a, ", "", 1), "f.yaml", []) is not None


def test_depth_is_bounded(parser: str) -> None:
    assert compose("[" * 50 + "]" * 50, "f.yaml", []) is not None
    assert problem_of("[" * 20_000 + "]" * 20_000) == "f.yaml:1:51: nested more than 50 levels deep; at most 50 are allowed"


def test_depth_through_aliases_is_bounded(parser: str) -> None:
    deep = "[" * 30 + "]" * 30
    assert problem_of(f"a: &a {deep}\nb: {'[' * 25}*a{']' * 25}\n").endswith(
        "aliases nest more than 50 levels deep; at most 50 are allowed"
    )
    assert compose(f"a: &a {deep}\nb: {'[' * 15}*a{']' * 15}\n", "f.yaml", []) is not None


def test_size_is_bounded(deployment: Any) -> None:
    [problem] = deployment.write("config/dev.yaml", "# " + "x" * 1_000_000).problems()
    assert problem.startswith("config/dev.yaml:1:1: the file is larger than 1,000,000 bytes; split it")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: b: c", "1:5"),
        ("a:\n\t- b", "2:1"),
        ("a: [1, 2\n", "2:1"),
        ("a: @b", "1:4"),
        ("a: {b: ${X}}", "1:9"),
        ("a: \x01", "1:4"),
        ("x: é\na: \x7f", "2:4"),
        ("- a\nb: c", "2:1"),
    ],
)
def test_both_parsers_point_to_the_same_place(text: str, place: str, parser: str) -> None:
    assert problem_of(text).startswith(f"f.yaml:{place}: not valid YAML")


def data(text: str) -> object:
    node = compose(text, "f.yaml", problems := [])
    assert not problems
    return Values({}, Path(), problems).of(node)


plain_data = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(-1e6, 1e6)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdef", min_size=1), inner, max_size=4),
    max_leaves=15,
)


@given(plain_data)
def test_what_pyyaml_writes_is_read_as_it_was(value: object) -> None:
    text = yaml.safe_dump({"top": value}, allow_unicode=True)
    if "${" not in text and not any(0xFFFE <= ord(sign) <= 0xFFFF for sign in text):
        assert data(text) == {"top": value}


@given(st.text("0123456789+-._:xobeEainfNTFyes~ ", max_size=8))
def test_an_unquoted_word_means_what_yaml_1_1_says_or_is_refused(text: str) -> None:
    try:
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError:
        return
    if not isinstance(node, yaml.ScalarNode) or node.style or "\n" in text:
        return
    tag = node.tag.rpartition(":")[2]
    if tag in ("timestamp", "merge", "value"):  # dates stay texts
        return
    try:
        mine = plain_value(node.value)
    except PlainError:
        return
    assert mine == yaml.safe_load(text)
