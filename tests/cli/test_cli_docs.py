"""The pages on writing tasks and on troubles: their examples run, their commands and keys exist, and both languages say the same."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer

from scheduler.cli.app import app
from scheduler.core.states import Reason
from scheduler.settings import load_settings
from scheduler.settings.task import TaskConfig

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("writing-tasks", "troubleshooting")
LANGUAGES = {"en": ".md", "zh": ".zh.md"}


def page(name: str, lang: str) -> str:
    return (DOCS / f"{name}{LANGUAGES[lang]}").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def prose(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


@pytest.fixture
def written(request: pytest.FixtureRequest, desk: Any) -> Any:
    """A deployment of the plugins and the task file as printed, in the language of the test."""
    text = page("writing-tasks", request.param)
    for source in blocks(text, "python"):
        name = re.match(r"# plugins/(\w+\.py)\n", source)
        assert name, source
        desk.write(f"plugins/{name[1]}", source)
    desk.write("tasks.yaml", "tasks:\n" + blocks(text, "yaml")[0])
    return desk


@pytest.mark.parametrize("written", LANGUAGES, indirect=True)
def test_the_tasks_run_as_printed(written: Any) -> None:
    folder: Path = written.folder
    found = written.json("check")
    assert (found["problems"], found["broken"], found["warnings"]) == ([], {}, [])
    with closing(sqlite3.connect(folder / "people.db")) as people, people:
        people.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT)")
        people.executemany("INSERT INTO people VALUES (?, ?)", [(number, f"n{number}") for number in range(1, 251)])
    places = {"source": str(folder / "people.db"), "target": str(folder / "copy.db")}
    with written.center() as center:
        center.start(["worker"])
        results = [center.wait(center.submit("people_copy", places)).result for _ in range(2)]
        assert results == [{"copied": 250}, {"copied": 0}]
        assert center.wait(center.submit("people_copy", {**places, "source": "nowhere.db"})).state == "failed"
        charge = {"customer": "ann", "cents": 5, "ledger": str(folder / "ledger.db")}
        assert center.wait(center.submit("charge", charge)).result == {"charged": 5}
        path = str(folder / "lines.txt")
        assert center.wait(center.submit("export", {"path": path})).result == {"path": path}
        refused = center.wait(center.submit("export", {"path": path, "lines": 0}))
        assert (refused.state, refused.error["type"]) == ("failed", "ValueError")
    assert [item.name for item in folder.glob("lines*")] == ["lines.txt"]


@pytest.mark.parametrize("written", ["en"], indirect=True)
def test_a_worker_given_up_for_lost_cannot_overwrite_its_successor(written: Any) -> None:
    charge = {"customer": "ann", "cents": 5, "ledger": str(written.folder / "ledger.db")}
    with written.center() as center:
        center.start(["worker"])
        assert center.wait(center.submit("charge", charge)).state == "succeeded"
        with closing(sqlite3.connect(charge["ledger"])) as books, books:
            books.execute("INSERT INTO charges VALUES ('r2', 'ann', 7, 9)")  # by the ninth claim
        late = center.wait(center.submit("charge", charge, run_id="r2"))
    assert (late.claims, late.error["message"]) == (1, "another worker has taken this Run over")
    with closing(sqlite3.connect(charge["ledger"])) as books:
        assert books.execute("SELECT cents, token FROM charges ORDER BY token").fetchall() == [(5, 1), (7, 9)]


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_exist(name: str) -> None:
    tree: Any = typer.main.get_command(app)
    for line in re.findall(r"python run\.py ([^`\n#]+)", page(name, "en")):
        words = line.split()
        command = tree
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        assert not hasattr(command, "commands"), line
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options, line
        assert sum(not word.startswith("-") for word in words) <= len(command.params), line


@pytest.mark.parametrize("name", PAGES)
def test_the_keys_exist(name: str) -> None:
    settings = load_settings(DOCS.parent / "env.yaml")
    sections = {"scheduler", "redis", "worker", "web"}
    for key in re.findall(r"`((?:scheduler|redis|worker|web)(?:\.\w+)+)`", page(name, "en")):
        value: Any = settings
        for part in key.split("."):
            value = getattr(value, part)
    spans = set(re.findall(r"`(\w+)`", prose(page(name, "en"))))
    for key in re.findall(r"`(\w+): [^`]+`", prose(page(name, "en"))):
        assert key in {*TaskConfig.model_fields, *sections, "url"}, key
    assert spans >= ({"timeout", "memory_limit", "max_attempts"} if name == "writing-tasks" else {"coalesce", "priority"})


def test_the_way_out_of_duplicates_is_a_configuration(desk: Any) -> None:
    (defaults,) = blocks(page("troubleshooting", "en"), "yaml")
    desk.write("env.yaml", "scheduler:\n  tasks: tasks.yaml\n" + "".join(f"  {line}\n" for line in defaults.splitlines()))
    found = load_settings(desk.folder / "env.yaml").scheduler.job_defaults
    assert (found.coalesce, found.max_instances) == (True, 1)


def test_the_reasons_to_wait_are_those_of_the_machine() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \|$", page("troubleshooting", "en"), re.MULTILINE)
    assert set(rows) - {"reason"} <= set(Reason)
    assert len(rows) > 5


@pytest.mark.parametrize("name", PAGES)
def test_both_languages_say_the_same(name: str) -> None:
    texts = {lang: page(name, lang) for lang in LANGUAGES}
    for language in ("python", "yaml", "console"):
        code = {lang: [re.sub(r" *#.*", "", block) for block in blocks(text, language)] for lang, text in texts.items()}
        assert code["en"] == code["zh"]
    spans = {lang: sorted(set(re.findall(r"`([^`\n]+)`", prose(text)))) for lang, text in texts.items()}
    assert spans["en"] == spans["zh"]
    shape = {
        lang: [line.partition(" ")[0] for line in text.splitlines() if re.match(r"#|- |\||\d\.", line)] for lang, text in texts.items()
    }
    assert shape["en"] == shape["zh"]
