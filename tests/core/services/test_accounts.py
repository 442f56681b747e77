"""People: making them, signing in, new passwords."""

from datetime import UTC, datetime, timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.db.models import AuditLog, PasswordReset, User
from core.db.models import Session as SignIn
from core.services import accounts
from core.services.actor import COMMAND
from core.services.mail import MailFailed

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PASSWORD = "mesa verde sapato"


class Box:
    """Keeps what was sent."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, str, str]] = []

    def send(self, *, to: str, subject: str, text: str) -> None:
        self.mails.append((to, subject, text))


def make_user(db: Session, *, email: str = "ana@example.com", role: str = "marketer") -> User:
    return accounts.create_user(
        db, email=email, name="Ana", role=role, password=PASSWORD, actor=COMMAND, now=NOW
    )


def test_it_makes_a_person_once_whatever_the_case(db: Session) -> None:
    user = make_user(db, email=" Ana@Example.com ")
    assert user.email == "ana@example.com"
    assert user.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    with pytest.raises(accounts.EmailTaken):
        make_user(db, email="ANA@example.com")
    assert db.scalar(select(func.count()).select_from(User)) == 1
    assert db.scalars(select(AuditLog.action)).all() == ["user.create"]


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ana",
        "@x",
        "ana@",
        "a b@x.com",
        "a@b@c",
        "a\n@x.com",
        "a\x00b",
        "a@x.com,b@x.com",
        "x" * 320 + "@x",
    ],
)
def test_it_refuses_what_is_no_address(db: Session, email: str) -> None:
    with pytest.raises(accounts.PersonRefused) as refused:
        make_user(db, email=email)
    assert refused.value.field == "email"


def test_it_takes_an_address_of_this_machine(db: Session) -> None:
    assert make_user(db, email="admin@localhost").email == "admin@localhost"


def test_it_refuses_other_roles_and_weak_passwords(db: Session) -> None:
    with pytest.raises(accounts.PersonRefused):
        make_user(db, role="owner")
    with pytest.raises(accounts.WeakPassword):
        accounts.create_user(
            db, email="b@x.com", role="viewer", password="ana12345", actor=COMMAND, now=NOW, name="Ana"
        )
    assert db.scalar(select(func.count()).select_from(User)) == 0


def test_it_knows_a_person_by_the_right_password_only(db: Session) -> None:
    user = make_user(db)
    found = accounts.authenticate(db, email="ANA@example.com ", password=PASSWORD)
    assert found is not None and found.id == user.id
    for email, password in (
        ("ana@example.com", "mesa verde sapatO"),
        ("ana@example.com", ""),
        ("ana@example.com", PASSWORD + "x" * 2000),
        ("ana@example.com", "\ud800"),
        ("bia@example.com", PASSWORD),
        ("", ""),
        ("\x00", PASSWORD),
    ):
        assert accounts.authenticate(db, email=email, password=password) is None


def test_it_knows_nobody_who_was_shut_out(db: Session) -> None:
    user = make_user(db)
    token = accounts.open_session(db, user=user, now=NOW)
    user.is_active = False
    db.commit()
    assert accounts.authenticate(db, email=user.email, password=PASSWORD) is None
    assert accounts.session_user(db, token=token, now=NOW) is None


def test_it_renews_a_hash_with_older_parameters(db: Session) -> None:
    user = make_user(db)
    user.password_hash = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(PASSWORD)
    db.commit()
    assert accounts.authenticate(db, email=user.email, password=PASSWORD) is not None
    db.expire_all()
    assert "m=19456,t=2,p=1" in user.password_hash
    assert accounts.authenticate(db, email=user.email, password=PASSWORD) is not None


def test_it_ends_a_session_after_idle_hours_and_a_kept_one_after_days(db: Session) -> None:
    user = make_user(db)
    short = accounts.open_session(db, user=user, now=NOW, ip="192.0.2.1", agent="x" * 900)
    kept = accounts.open_session(db, user=user, now=NOW, ip="nonsense", keep=True)
    assert short != kept
    now = NOW
    for _ in range(3):
        now += timedelta(hours=11)
        assert accounts.session_user(db, token=short, now=now) is not None
    assert accounts.session_user(db, token=short, now=now + timedelta(hours=12)) is None
    assert accounts.session_user(db, token=kept, now=NOW + timedelta(days=13, hours=23)) is not None
    assert accounts.session_user(db, token=kept, now=NOW + timedelta(days=14)) is None
    assert accounts.session_user(db, token="x", now=NOW) is None


def test_it_stores_no_token(db: Session) -> None:
    user = make_user(db)
    token = accounts.open_session(db, user=user, now=NOW)
    row = db.scalars(select(SignIn)).one()
    assert token.encode() not in row.token_hash and len(row.token_hash) == 32


def test_it_signs_out_one_or_all_others_of_one_person(db: Session) -> None:
    ana, bia = make_user(db), make_user(db, email="bia@example.com")
    here, there, third = (accounts.open_session(db, user=ana, now=NOW) for _ in range(3))
    other = accounts.open_session(db, user=bia, now=NOW)
    found = accounts.session_user(db, token=here, now=NOW)
    assert found is not None
    mine = found[1].id
    theirs = next(row.id for row in accounts.sessions_of(db, user_id=bia.id, now=NOW))
    assert not accounts.close_session_of(db, user_id=ana.id, session_id=theirs)
    accounts.close_session(db, token=third)
    assert len(accounts.sessions_of(db, user_id=ana.id, now=NOW)) == 2
    accounts.close_other_sessions(db, user_id=ana.id, keep_session=mine)
    assert accounts.session_user(db, token=here, now=NOW) is not None
    assert accounts.session_user(db, token=there, now=NOW) is None
    assert accounts.session_user(db, token=other, now=NOW) is not None


def test_it_ends_every_other_session_with_a_new_password(db: Session) -> None:
    user = make_user(db)
    here, there = accounts.open_session(db, user=user, now=NOW), accounts.open_session(db, user=user, now=NOW)
    found = accounts.session_user(db, token=here, now=NOW)
    assert found is not None
    with pytest.raises(accounts.WrongPassword):
        accounts.change_password(
            db, user_id=user.id, old="x", new="sapato verde mesa", keep_session=found[1].id
        )
    with pytest.raises(accounts.WeakPassword):
        accounts.change_password(db, user_id=user.id, old=PASSWORD, new="12345678", keep_session=found[1].id)
    assert accounts.session_user(db, token=there, now=NOW) is not None
    accounts.change_password(
        db, user_id=user.id, old=PASSWORD, new="sapato verde mesa", keep_session=found[1].id
    )
    assert accounts.session_user(db, token=here, now=NOW) is not None
    assert accounts.session_user(db, token=there, now=NOW) is None
    assert accounts.authenticate(db, email=user.email, password="sapato verde mesa") is not None


def test_it_mails_a_link_that_works_once_within_the_hour(db: Session) -> None:
    user, box = make_user(db), Box()
    token = accounts.open_session(db, user=user, now=NOW)
    accounts.request_reset(db, email="Ana@example.com", now=NOW, mailer=box, base_url="https://r.example")
    ((to, _, text),) = box.mails
    assert to == "ana@example.com"
    link = next(word for word in text.split() if word.startswith("https://r.example/reset/"))
    secret = link.rpartition("/")[2]
    later = NOW + timedelta(minutes=59)
    with pytest.raises(accounts.WeakPassword):
        accounts.reset_password(db, token=secret, password="12345678", now=later)
    accounts.reset_password(db, token=secret, password="sapato verde mesa", now=later)
    assert accounts.session_user(db, token=token, now=later) is None
    assert accounts.authenticate(db, email=user.email, password="sapato verde mesa") is not None
    with pytest.raises(accounts.ResetExpired):
        accounts.reset_password(db, token=secret, password="outra mesa azul", now=later)


def test_it_refuses_a_link_that_is_too_old_or_made_up(db: Session) -> None:
    box = Box()
    make_user(db)
    accounts.request_reset(db, email="ana@example.com", now=NOW, mailer=box, base_url="https://r.example")
    secret = next(word for word in box.mails[0][2].split() if "/reset/" in word).rpartition("/")[2]
    for token in (secret, "x", "", "\ud800"):
        with pytest.raises(accounts.ResetExpired):
            accounts.reset_password(db, token=token, password="outra mesa azul", now=NOW + timedelta(hours=1))


def test_it_says_nothing_of_who_has_an_account(db: Session) -> None:
    box = Box()
    accounts.request_reset(db, email="nobody@example.com", now=NOW, mailer=box, base_url="https://r.example")
    assert box.mails == []


def test_it_does_not_flood_a_box(db: Session) -> None:
    box = Box()
    make_user(db)
    for minute in range(20):
        now = NOW + timedelta(minutes=minute)
        accounts.request_reset(db, email="ana@example.com", now=now, mailer=box, base_url="https://r.example")
    assert len(box.mails) == 3
    accounts.request_reset(
        db, email="ana@example.com", now=NOW + timedelta(hours=2), mailer=box, base_url="https://r.example"
    )
    assert len(box.mails) == 4
    assert db.scalar(select(func.count()).select_from(PasswordReset)) == 1


def test_it_answers_the_same_when_the_mail_fails(db: Session) -> None:
    class Broken:
        def send(self, *, to: str, subject: str, text: str) -> None:
            raise MailFailed("no server")

    make_user(db)
    accounts.request_reset(
        db, email="ana@example.com", now=NOW, mailer=Broken(), base_url="https://r.example"
    )


def test_it_gives_a_new_password_by_command(db: Session) -> None:
    user = make_user(db)
    token = accounts.open_session(db, user=user, now=NOW)
    password = accounts.reset_by_command(db, email="ANA@example.com", now=NOW)
    assert accounts.authenticate(db, email=user.email, password=password) is not None
    assert accounts.session_user(db, token=token, now=NOW) is None
    with pytest.raises(accounts.UserNotFound):
        accounts.reset_by_command(db, email="x@example.com", now=NOW)


def test_it_changes_ones_own_name_and_zone(db: Session) -> None:
    user = make_user(db)
    accounts.change_profile(db, user_id=user.id, name="  Ana   Maria ", time_zone="America/Sao_Paulo")
    db.expire_all()
    assert (user.name, user.time_zone) == ("Ana Maria", "America/Sao_Paulo")
    with pytest.raises(accounts.PersonRefused):
        accounts.change_profile(db, user_id=user.id, name=" ", time_zone=None)
