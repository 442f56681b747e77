"""The documentation names everything that an operator may meet."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path

from prometheus_client import REGISTRY

import admin_flask.metrics  # noqa: F401 (they register themselves)
import tasks
import tracker_quart
from core.contracts import keys
from core.db import conversions, models, tracking, work  # noqa: F401 (their tables register themselves)
from core.db.base import Base

ROOT = Path(__file__).resolve().parents[2]


def settings_read() -> set[str]:
    """The names that `core/config.py` reads from the environment."""
    tree = ast.parse((ROOT / "core/config.py").read_text(encoding="utf-8"))
    return {
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "env"
        and isinstance(call.args[0], ast.Constant)
    }


def test_it_names_every_setting_and_no_other() -> None:
    table = re.findall(r"^\| `([A-Z_]+)`", (ROOT / "docs/configuration.md").read_text(encoding="utf-8"), re.M)
    beside = {
        "TRACKER_PROCESSES",
        "WORKER_POOL",
        "RASTRO_NO_VENV",
        "PIP_INDEX_URL",
    }  # read by `rastro` itself
    assert len(table) == len(set(table))
    assert set(table) - beside == settings_read()


def test_it_names_every_table() -> None:
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    assert [name for name in Base.metadata.tables if f"`{name}`" not in text] == []


def test_it_names_every_redis_key() -> None:
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    names = [keys.ACCEPTED, keys.ANSWERED, keys.CAP_COUNTS, keys.SNAPSHOTS_READY, keys.CHANGED]
    names += [keys.DEFAULT_DOMAIN, keys.SOURCES, keys.RECEIVED, keys.DEAD_POSTBACKS]
    names += [function("QUEUE") for function in (keys.stream, keys.later, keys.held)]
    names += [function("QUEUE") for function in (keys.dead, keys.suspects)]
    names += [function("QUEUE") for function in (keys.failures, keys.failure_groups, keys.failure_abouts)]
    names += [keys.failures_read("QUEUE"), keys.trials("QUEUE"), keys.DEPTHS, keys.DEAD_CLICKS]
    names += [keys.PAUSED, keys.stats(7).replace("7", "MINUTE")]
    names += [keys.password_tries(7, 8, "ADDRESS").replace("7:8", "LINK:MINUTE")]
    names += [keys.worker("NAME"), keys.link(7, "SLUG").replace("7", "DOMAIN"), keys.domain("HOST")]
    names.append(keys.counted(b"").replace("counted:", "counted:CLICK"))
    names.append(keys.signature(7, b"").replace("7:", "SOURCE:SIGNATURE"))
    names += [keys.seen(7, "VISITOR").replace("7", "LINK")]
    assert [name for name in names if f"`{name}`" not in text] == []


def test_it_names_every_metric_and_no_other() -> None:
    for package in (tracker_quart, tasks):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    shown = {
        (family.name + ("_total" if family.type == "counter" else ""), family.type)
        for family in REGISTRY.collect()
        if family.name.startswith("rastro_")
    }
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `(rastro_\w+)` \| (\w+) \|", text, re.M)) == sorted(shown)


def test_it_links_only_to_pages_that_exist() -> None:
    broken = []
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)} -> {target}")
    assert broken == []


def anchors(page: Path) -> set[str]:
    """The names that the headings of a page have, as its readers' sites make them, and those that it gives itself."""
    text = page.read_text(encoding="utf-8")
    made = {re.sub(r"[^\w\- ]", "", heading.lower()) for heading in re.findall(r"^#+ (.+)$", text, re.M)}
    return {name.replace(" ", "-") for name in made} | set(re.findall(r'<a id="(.+?)">', text))


def test_it_links_only_to_headings_that_exist() -> None:
    broken = []
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]*)\)", page.read_text(encoding="utf-8")):
            if "://" not in target and anchor not in anchors(page.parent / target if target else page):
                broken.append(f"{page.relative_to(ROOT)} -> {target}#{anchor}")
    assert broken == []
