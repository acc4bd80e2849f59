from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.plugins.params import check_params
from scheduler.plugins.probe import Parameter, Probe

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def plugin(*parameters: Parameter) -> Probe:
    return Probe("p:run", ok=True, signature=parameters)


def required(name: str, annotation: str = "") -> Parameter:
    return Parameter(name, "keyword_only", required=True, annotation=annotation)


def optional(name: str, annotation: str = "") -> Parameter:
    return Parameter(name, "positional_or_keyword", required=False, annotation=annotation)


def fits(annotation: str, value: Any) -> bool:
    return check_params(plugin(required("x", annotation)), {"x": value}) == []


def test_unknown_names_name_the_nearest() -> None:
    takes = plugin(optional("source"), optional("batch_size"))
    assert check_params(takes, {"bach_size": 5, "zzz": 1}) == [
        "unknown parameter 'bach_size' of p:run: it takes source, batch_size; did you mean 'batch_size'?",
        "unknown parameter 'zzz' of p:run: it takes source, batch_size",
    ]
    assert check_params(plugin(), {"a": 1}) == ["unknown parameter 'a' of p:run: it takes none"]


def test_keywords_take_every_name() -> None:
    assert check_params(plugin(Parameter("more", "var_keyword", required=False, annotation="")), {"anything": 1}) == []


def test_missing_ones_are_named_with_their_type() -> None:
    assert check_params(plugin(required("a", "int"), required("b"), optional("c")), {}) == [
        "missing parameter 'a' (int): p:run has no default for it",
        "missing parameter 'b': p:run has no default for it",
    ]


def test_params_by_position_cannot_be_given() -> None:
    takes = plugin(Parameter("a", "positional_only", required=True, annotation="int"))
    assert check_params(takes, {}) == ["p:run takes 'a' by position, but params are given by name: drop the '/' from its signature"]


def test_every_problem_is_told_at_once() -> None:
    assert len(check_params(plugin(required("a", "int"), required("b", "str"), required("c")), {"a": "1", "b": 2, "d": 3})) == 4


def test_a_broken_plugin_has_no_signature_to_hold_params_against() -> None:
    assert check_params(Probe("p:run", ok=False, error="broken"), {"a": 1}) == []


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("int", [0, -5], ["5", 1.5, True, None, [1]]),
        ("float", [0, 1.5], ["1.5", False, None]),
        ("str", ["", "a"], [1, None, ["a"]]),
        ("bool", [True, False], [0, 1, "yes", None]),
        ("list", [[], [1, "a"]], ["a", {}, None]),
        ("dict", [{}, {"a": 1}], [[], "a"]),
        ("list[int]", [[], [1, 2]], [["a"], [1, None], 1]),
        ("List[str]", [["a"]], [[1]]),
        ("List", [["a"]], ["a"]),
        ("Dict", [{}], [[]]),
        ("dict[str, int]", [{"a": 1}], [{"a": "b"}, []]),
        ("int | None", [1, None], ["a"]),
        ("Optional[int]", [1, None], ["a"]),
        ("typing.Optional[str]", ["a", None], [1]),
        ("Union[int, str]", [1, "a"], [1.5, None]),
        ("Literal['api', 'database']", ["api", "database"], ["db", "", 1]),
        ("Literal[-1, 1]", [-1, 1], [0, True, "1"]),
        ("Literal[Color.RED]", ["whatever"], []),
        ("Annotated[int, 'positive']", [1], ["a"]),
        ("'int | str'", [1, "a"], [1.5]),
        ("list[Literal['a', 'b']]", [["a", "b"]], [["c"]]),
        ("Path", ["/tmp", 5], []),
        ("Sequence[int]", [["whatever"]], []),
        ("datetime.date", ["2026-01-01"], []),
        ("lambda: 0", [1], []),
        ("f()[0]", [1], []),
        ("Literal['a very long one that was cut sho", [1, "a", None], []),
        ("", [1, None], []),
    ],
)
def test_plain_types(annotation: str, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not fits(annotation, value)] == []
    assert [value for value in bad if fits(annotation, value)] == []


def test_a_misfit_names_the_value_and_what_is_allowed() -> None:
    takes = plugin(required("batch_size", "int"), required("source", "Literal['api', 'database']"), required("limit", "int"))
    assert check_params(takes, {"batch_size": "100", "source": "ftp", "limit": None}) == [
        "parameter 'batch_size': '100' is str, allowed is int",
        "parameter 'source': 'ftp' is str, allowed is Literal['api', 'database']",
        "parameter 'limit': None is null, allowed is int",
    ]


def test_none_is_welcome_where_a_default_may_be_none() -> None:
    assert check_params(plugin(optional("limit", "int")), {"limit": None}) == []


@given(annotation=st.text(max_size=20) | st.sampled_from(["int", "list[", "a.b.c", "Literal[x]", "dict[int]", "Union[()]"]), value=JSON)
def test_no_annotation_ever_raises(annotation: str, value: Any) -> None:
    assert len(check_params(plugin(required("x", annotation)), {"x": value})) <= 1
