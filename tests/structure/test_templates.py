"""What every template must keep to, so that the strict content policy and CSRF hold on pages that come later."""

import hashlib
import re
from pathlib import Path

import pytest
from flask import Flask

from admin_flask.addresses import STATIC, TEMPLATES
from admin_flask.app import create_app
from core.config import Settings

FILES = [path for path in sorted(TEMPLATES.rglob("*.html")) if path.parent.name != "visitor"]
"""Those of the manager; pages for visitors are the tracker's, under a policy of their own."""
NAMES = [str(path.relative_to(TEMPLATES)) for path in FILES]
SPRITE = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / "icons.svg").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def app() -> Flask:
    """The manager; nothing of it connects before a request."""
    return create_app(
        Settings.from_env(
            {
                "DATABASE_URL": "postgresql://127.0.0.1:1/none",
                "REDIS_URL": "redis://127.0.0.1:1/0",
                "SECRET_KEY": "a-secret-that-only-the-tests-know-and-use",
            }
        )
    )


@pytest.mark.parametrize("name", NAMES)
def test_it_compiles(app: Flask, name: str) -> None:
    app.jinja_env.get_template(name)


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_it_has_no_inline_code(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\sstyle\s*=", text), "a style attribute: the content policy drops it"
    assert not re.search(r"<style", text)
    assert not re.search(r"\son[a-z]+\s*=", text), "an on… attribute: the content policy drops it"
    assert not re.search(r"hx-on", text)
    assert not re.search(r"javascript:", text)
    for tag in re.findall(r"<script[^>]*>(?!</script>)", text):
        assert "application/json" in tag or "src=" in tag, "code in the page: the content policy drops it"
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text), "a file from elsewhere"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_form_that_posts_carries_its_token(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for form in re.findall(r"<form\b.*?</form>", text, re.S):
        if re.search(r'method="post"', form.split(">", 1)[0], re.I):
            assert re.search(r"ui\.csrf\(\)|\bcsrf\(\)|form\.csrf_token|hidden_tag\(\)", form), form[:120]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_icon_is_in_the_sprite(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = re.findall(r'\b(?:ui\.)?icon\("([a-z0-9-]+)"', text) + re.findall(
        r'icon_name="([a-z0-9-]+)"', text
    )
    assert set(named) <= SPRITE


def test_every_vendored_file_is_the_one_that_was_written_down() -> None:
    text = (STATIC / "vendor/README.md").read_text(encoding="utf-8")
    written = dict(re.findall(r"\| ([^ |]+) \| `([0-9a-f]{64})` \|", text))
    found = {
        str(path.relative_to(STATIC / "vendor")): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (STATIC / "vendor").rglob("*")
        if path.is_file() and path.name not in ("LICENSE", "README.md")
    }
    assert found == written


def test_every_vendored_folder_has_its_licence() -> None:
    folders = [path for path in (STATIC / "vendor").iterdir() if path.is_dir()]
    assert [folder.name for folder in folders if not (folder / "LICENSE").is_file()] == []


def test_the_stylesheet_asks_for_no_file_that_is_not_there() -> None:
    text = (STATIC / "app.css").read_text(encoding="utf-8")
    asked = [name for name in re.findall(r'url\("([^"]+)"\)', text) if not name.startswith("data:")]
    assert asked
    assert [name for name in asked if not (STATIC / name).is_file()] == []
