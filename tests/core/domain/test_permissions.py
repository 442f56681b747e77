"""The one table of rights."""

import pytest

from core.domain.permissions import PERMISSIONS, ROLES, may, permissions_of


def test_it_gives_the_admin_everything() -> None:
    assert permissions_of("admin") == frozenset(PERMISSIONS)


def test_it_lets_a_viewer_look_and_never_change() -> None:
    assert all(name.endswith(".view") for name in permissions_of("viewer"))


def test_it_knows_only_the_four_roles() -> None:
    assert {role for roles in PERMISSIONS.values() for role in roles} == set(ROLES)
    assert permissions_of("owner") == frozenset()


def test_it_fails_loudly_for_an_unknown_permission() -> None:
    with pytest.raises(KeyError):
        may("admin", "links.edti")
