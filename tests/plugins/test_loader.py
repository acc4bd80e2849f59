import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from scheduler.core.errors import PluginError, SchedulerError
from scheduler.plugins import loader
from scheduler.plugins.loader import Target, parse_target, resolve, use_folder


def broken(target: str) -> str:
    with pytest.raises(PluginError) as caught:
        resolve(target)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("data_sync", Target("data_sync", "run")),
        ("data_sync:main", Target("data_sync", "main")),
        ("pkg.mod", Target("pkg.mod", "run")),
        ("pkg.mod:Task", Target("pkg.mod", "Task")),
        ("数据同步", Target("数据同步", "run")),
    ],
)
def test_targets(text: str, target: Target) -> None:
    assert parse_target(text) == target
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    "text",
    ["", ":run", "a:", "a:b.c", "a:b:c", "a..b", ".a", "a/b", "../../etc/passwd", "/etc/passwd", "a\0", "1a", "a b", "a;b", "a\n", "a.py"],
)
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(PluginError, match="is no plugin: write module, module:function or module:Class"):
        parse_target(text)


@pytest.mark.parametrize(("text", "meant"), [("data-sync", "data_sync"), ("data_sync.py", "data_sync"), ("./data_sync", "data_sync")])
def test_a_near_target_is_named(text: str, meant: str) -> None:
    with pytest.raises(PluginError, match=f"did you mean '{meant}'"):
        parse_target(text)


def test_a_function_is_called_with_the_params(loaded: Any) -> None:
    loaded.write("plug.py", "def run(a, b=2): return [a, b]\ndef other(): return 'other'")
    assert resolve("plug")(a=1) == [1, 2]
    assert resolve("plug:other")() == "other"


def test_async_functions_stay_async(loaded: Any) -> None:
    loaded.write("plug_async.py", "async def run(a): return a")
    assert asyncio.run(resolve("plug_async")(a=5)) == 5


def test_classes_become_callables(loaded: Any) -> None:
    loaded.write("plug_class.py", "from scheduler import BaseTask\nclass Job(BaseTask):\n    def execute(self, a): return a + 1\nrun = Job")
    assert resolve("plug_class:Job")(a=1) == 2
    assert resolve("plug_class")(a=1) == 2


def test_our_decorators_are_taken_off_and_foreign_ones_stay(loaded: Any) -> None:
    loaded.write(
        "plug_marked.py",
        """
        from functools import wraps
        from scheduler import retry
        def doubled(func):
            @wraps(func)
            def wrapper(): return 2 * func()
            return wrapper
        @retry(3)
        @doubled
        def run(): return 21
        """,
    )
    assert resolve("plug_marked")() == 42
    assert resolve("plug_marked").__wrapped__() == 21


def test_packages_and_their_modules(loaded: Any) -> None:
    loaded.write("plug_pkg/__init__.py", "def run(): return 'package'")
    loaded.write("plug_pkg/inner.py", "from plug_pkg import run as outer\ndef run(): return outer() + ' inner'")
    loaded.write("plug_bare/inner.py", "def run(): return 'no __init__'")
    assert [resolve(name)() for name in ("plug_pkg", "plug_pkg.inner", "plug_bare.inner")] == ["package", "package inner", "no __init__"]


def test_plugins_share_helpers(loaded: Any) -> None:
    loaded.write("_plug_shared.py", "VALUE = 7")
    loaded.write("plug_user.py", "from _plug_shared import VALUE\ndef run(): return VALUE")
    assert resolve("plug_user")() == 7


def test_a_missing_run_carries_the_import_error_of_old(loaded: Any) -> None:
    loaded.write("plug_empty.py", "from os.path import join\nx = 1")
    with pytest.raises(PluginError) as caught:
        resolve("plug_empty")
    assert isinstance(caught.value.__cause__, ImportError)
    assert str(caught.value.__cause__) == "任务模块 plug_empty 没有 'run' 函数"
    assert str(caught.value) == (
        "任务模块 plug_empty 没有 'run' 函数: define run() in plugins/plug_empty.py, or name what it has, as in module: plug_empty:function"
    )


def test_whoever_expects_an_import_error_gets_one(loaded: Any) -> None:
    loaded.write("plug_empty.py", "WORDS = 1")
    for target in ("plug_empty", "plug_nowhere"):
        with pytest.raises(ImportError, match=target) as caught:
            resolve(target)
        assert isinstance(caught.value, SchedulerError)


def test_a_missing_plugin_names_folder_and_nearest(loaded: Any) -> None:
    loaded.write("plug_sync.py")
    message = broken("plug_snyc")
    assert message.startswith(f"there is no plugin 'plug_snyc': no plug_snyc.py in {loaded.path}, and no installed package of this name")
    assert message.endswith("; did you mean 'plug_sync'?")


@pytest.mark.parametrize("name", ["subprocess", "os.path:join", "builtins:print", "json:dumps", "sys:exit"])
def test_the_standard_library_is_no_plugin(loaded: Any, name: str) -> None:
    assert broken(name).startswith(f"there is no plugin '{name.partition(':')[0]}'")


@pytest.mark.parametrize(
    ("name", "origin"), [("json", "json/__init__.py"), ("sys", "built-in"), ("redis", "redis/__init__.py"), ("__main__", "")]
)
def test_a_plugin_cannot_bear_the_name_of_another_module(loaded: Any, name: str, origin: str) -> None:
    loaded.write(f"{name}.py")
    message = broken(name)
    assert message.startswith(f"plugins/{name}.py has the name of another module, {name} (")
    assert f"{origin}): rename it, say to my_{name}" in message


def test_a_plugin_never_shadows_a_library(loaded: Any) -> None:
    loaded.write("colorsys.py", "raise RuntimeError('the wrong one')")
    sys.modules.pop("colorsys", None)
    import colorsys

    assert "plugins" not in colorsys.__file__


def test_an_error_at_import_names_the_users_own_line(loaded: Any) -> None:
    loaded.write("plug_json.py", "import json\ndef f():\n    json.loads('{')\nf()\n")
    assert broken("plug_json").startswith("plugins/plug_json.py:3: JSONDecodeError: ")


def test_a_failed_import_is_tried_again_after_the_repair(loaded: Any) -> None:
    loaded.write("plug_fixed.py", "def run(: ...")
    assert "SyntaxError" in broken("plug_fixed")
    loaded.write("plug_fixed.py", "def run(): return 'repaired'")
    assert resolve("plug_fixed")() == "repaired"


def test_forget_brings_new_code_and_leaves_the_old_running(loaded: Any) -> None:
    loaded.write("plug_v.py", "def run(): return 'old'")
    old = resolve("plug_v")
    loaded.write("plug_v.py", "def run(): return 'brand new'")
    assert resolve("plug_v") is old
    loader.forget()
    assert (resolve("plug_v")(), old()) == ("brand new", "old")


def test_another_folder_replaces_the_first(loaded: Any, tmp_path: Path) -> None:
    loaded.write("plug_same.py", "def run(): return 1")
    assert resolve("plug_same")() == 1
    other = tmp_path / "other"
    other.mkdir(mode=0o755)
    (other / "plug_same.py").write_text("def run(): return 2")
    use_folder(other)
    assert resolve("plug_same")() == 2
    assert str(loaded.path) not in sys.path


def test_installed_modules_need_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(loader, "_folder", None)
    (tmp_path / "plug_site.py").write_text("def run(): return 'site'\nboom = lambda: undefined")
    (tmp_path / "plug_boom.py").write_text("import plug_site\nplug_site.boom()")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert resolve("plug_site")() == "site"
    assert broken("plug_boom").startswith(f"{tmp_path}/plug_site.py:2: NameError")
    assert broken("plug_nowhere").startswith("there is no plugin 'plug_nowhere': no plug_nowhere.py in sys.path")
    assert "任务模块 plug_site 没有 'main' 函数" in broken("plug_site:main")
    for name in ("plug_site", "plug_boom"):
        sys.modules.pop(name, None)


def test_a_module_without_a_spec_is_found_where_it_is(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> str:
        return "script"

    monkeypatch.setattr(sys.modules["__main__"], "run_for_test", run, raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    assert resolve("__main__:run_for_test")() == "script"


def test_a_foreign_wrapper_over_ours_stays(loaded: Any) -> None:
    loaded.write(
        "plug_over.py",
        """
        from functools import wraps
        from scheduler import retry
        def counted(func):
            @wraps(func)
            def wrapper(): return ('counted', func())
            return wrapper
        @counted
        @retry(1)
        def run(): return 1
        """,
    )
    assert resolve("plug_over")() == ("counted", 1)
