"""Domains by the API: their targets are an admin's to change."""

import json
from collections.abc import Callable

import pytest
from redis import Redis

from core.contracts import domain_snapshot, keys
from core.db.models import Domain
from tests.admin_flask.api.conftest import Caller, errors, problem


def test_it_changes_a_domain(call_as: Callable[[str], Caller], domain: Domain, valkey: Redis) -> None:
    api = call_as("admin")
    body = api.patch(f"/domains/{domain.id}", root_url="https://example.com/", brand="Casa").get_json()
    assert (body["host"], body["root_url"], body["brand"]) == (
        "go.example.com",
        "https://example.com/",
        "Casa",
    )
    assert body["source_param"] == "s"
    assert api.patch(f"/domains/{domain.id}", source_param="ref").get_json()["source_param"] == "ref"
    body = api.patch(f"/domains/{domain.id}", source_param="").get_json()
    assert body["source_param"] == ""
    assert (body["not_found_url"], body["expired_url"], body["links"]) == ("", "", 0)
    assert api.get("/domains").get_json()["items"] == [body]
    framed = valkey.get(keys.DEFAULT_DOMAIN)
    assert isinstance(framed, bytes) and domain_snapshot.decode(framed).root_url == "https://example.com/"


def test_it_says_what_can_not_be_changed(call_as: Callable[[str], Caller], domain: Domain) -> None:
    admin = call_as("admin")
    assert set(errors(admin.patch(f"/domains/{domain.id}", expired_url="nonsense"))) == {"expired_url"}
    assert set(errors(admin.patch(f"/domains/{domain.id}", source_param="a b"))) == {"source_param"}
    assert set(errors(admin.patch(f"/domains/{domain.id}", host="x.example.com"))) == {"host"}
    assert problem(admin.patch("/domains/99", root_url=""))["status"] == 404
    assert problem(call_as("marketer").patch(f"/domains/{domain.id}", root_url=""))["status"] == 403


def test_it_keeps_the_files_that_phones_ask_for(
    call_as: Callable[[str], Caller], domain: Domain, valkey: Redis
) -> None:
    admin = call_as("admin")
    apple = {"applinks": {"details": [{"appIDs": ["A.é"], "components": [{"/": "*"}]}]}}
    body = admin.patch(
        f"/domains/{domain.id}", apple_app_site_association=apple, assetlinks=[{"n": 1.5}]
    ).get_json()
    assert (body["apple_app_site_association"], body["assetlinks"]) == (apple, [{"n": 1.5}])
    assert admin.patch(f"/domains/{domain.id}", assetlinks=None).get_json()["assetlinks"] is None
    framed = valkey.get(keys.domain("go.example.com"))
    assert isinstance(framed, bytes)
    found = domain_snapshot.decode(framed)
    assert found.apple_file is not None and json.loads(bytes(found.apple_file)) == apple
    assert found.android_file is None


@pytest.mark.parametrize("content", ["{}", [], {"a": "\0"}, {"a": "\ud800"}, {"a": "x" * 40_000}, 7])
def test_it_refuses_files_that_can_not_be(
    call_as: Callable[[str], Caller], domain: Domain, content: object
) -> None:
    answer = call_as("admin").patch(f"/domains/{domain.id}", apple_app_site_association=content)
    assert set(errors(answer)) == {"apple_app_site_association"}
