"""Every command and its options. Standard library alone: help is printed before anything is installed."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from core.domain.permissions import ROLES

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds `rastro`; relative paths of its own start here, wherever it is called from."""


class CommandFailed(Exception):
    """A command can not go on; the text says in one or a few lines what happened and what to do."""

    def __init__(self, text: str, *, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Program:
    """A command that is another module: what runs, which locks it needs, whether it runs in the clone's folder."""

    help: str
    argv: tuple[str, ...]
    locks: tuple[str, ...] = ("run",)
    in_root: bool = False


PROGRAMS = {
    "tracker": Program("the redirect service", ("-m", "tracker_quart")),
    "manager": Program("the website for the staff, and the API", ("-m", "admin_flask")),
    "worker": Program("takes work from the queues (--pool default|track)", ("-m", "tasks")),
    "test": Program(
        "run the tests; further words go to pytest",
        ("-m", "pytest", "-n", "{cores}"),
        ("run", "embedded", "observe", "dev"),
        in_root=True,
    ),
    "bench": Program(
        "measure redirects and ingest", ("-m", "tests.bench"), ("run", "embedded", "dev"), in_root=True
    ),
}

LINT = (
    ("ruff check", ("-m", "ruff", "check", ".")),
    ("ruff format", ("-m", "ruff", "format", "--check", ".")),
    ("mypy", ("-m", "mypy")),
    ("import rules", ("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()")),
)

GROUPS = (
    ("Start here", ("up", "demo", "check")),
    ("People, keys, domains, sources", ("user", "key", "domain", "source")),
    ("Look after the data", ("backup", "restore", "upgrade-data", "migrate", "republish", "reconcile")),
    ("One program each, for containers and several hosts", ("tracker", "manager", "worker", "init")),
    ("Work on Rastro", ("test", "lint", "bench")),
)


def help_text() -> str:
    """What `./rastro` prints: every command with one line."""
    about = {name: program.help for name, program in PROGRAMS.items()}
    about |= {"lint": "ruff, mypy and the import rules"}
    about |= {name: text for name, (text, _) in _OPERATIONS.items()}
    lines = [
        "Rastro, a self-hosted link tracker.",
        "",
        "  ./rastro COMMAND [options]        ./rastro COMMAND --help says more",
    ]
    for title, names in GROUPS:
        lines += ["", title, *(f"  {name:14}{about[name]}" for name in names)]
    return "\n".join([*lines, "", "A newcomer starts with ./rastro up --demo"])


def operations() -> tuple[str, ...]:
    """Commands that `core.ops` itself carries out."""
    return tuple(_OPERATIONS)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all operations; `run` of its result names the function, as `module:function`."""
    parser = argparse.ArgumentParser(prog="rastro", description=help_text())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", help=argparse.SUPPRESS)
    for name, (text, add_options) in _OPERATIONS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        add_options(command)
    return parser


def _up(command: argparse.ArgumentParser) -> None:
    _data(command)
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    command.add_argument(
        "--admin-port",
        type=_port,
        default=8000,
        metavar="PORT",
        help="port of the website (default 8000; 0 = a free one)",
    )
    command.add_argument(
        "--tracker-port",
        type=_port,
        default=8080,
        metavar="PORT",
        help="port of the links (default 8080; 0 = a free one)",
    )
    command.add_argument(
        "--demo", action="store_true", help="fill it with example links, clicks and sales, once"
    )
    command.set_defaults(run="core.ops.up:run_up")


def _user(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="create|reset")
    create = actions.add_parser("create", help="add a person; prints the first password")
    create.add_argument("email", metavar="EMAIL")
    create.add_argument("--name", default="", help="the person's name (default: the part before the @)")
    create.add_argument("--role", default="viewer", choices=ROLES, help="default viewer")
    _data(create)
    create.set_defaults(run="core.ops.people:create_user")
    reset = actions.add_parser(
        "reset", help="give a person a new password, and print it; ends their sessions"
    )
    reset.add_argument("email", metavar="EMAIL")
    _data(reset)
    reset.set_defaults(run="core.ops.people:reset_user")


def _key(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="create|list|revoke")
    create = actions.add_parser("create", help="make an API key; prints the key alone")
    create.add_argument("--name", required=True, help="what the key is for")
    create.add_argument("--role", required=True, choices=ROLES, help="what it may do")
    _data(create)
    create.set_defaults(run="core.ops.people:create_key")
    listing = actions.add_parser("list", help="show the keys that open something, with their numbers")
    _data(listing)
    listing.set_defaults(run="core.ops.people:list_keys")
    revoke = actions.add_parser("revoke", help="let a key open nothing from now on")
    revoke.add_argument("key", metavar="NUMBER", type=int, help="as `key list` shows it")
    _data(revoke)
    revoke.set_defaults(run="core.ops.people:revoke_key")


def _domain(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="add")
    add = actions.add_parser("add", help="let links live on another host name")
    add.add_argument("host", metavar="HOST", help="for example go.example.com")
    add.add_argument("--default", action="store_true", help="new links are made on this one")
    add.add_argument(
        "--case-sensitive", action="store_true", help="/Sale and /sale are two links; fixed for good"
    )
    _data(add)
    add.set_defaults(run="core.ops.people:add_domain")


def _source(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="create")
    create = actions.add_parser("create", help="make a source of conversions; prints its postback URL alone")
    create.add_argument("--name", required=True, help="the network or shop that sends")
    create.add_argument(
        "--preset", default="plain", metavar="NAME", help="how it sends (default plain), such as keitaro"
    )
    _data(create)
    create.set_defaults(run="core.ops.people:create_source")


def _init(command: argparse.ArgumentParser) -> None:
    actions = command.add_subparsers(dest="action", required=True, metavar="secrets|welcome")
    files = actions.add_parser("secrets", help="make the secrets of a new installation, as files")
    files.add_argument("folder", type=_folder, metavar="DIR", help="where they are kept")
    files.add_argument(
        "--postgres", default="postgres:5432", metavar="HOST:PORT", help="default postgres:5432"
    )
    files.add_argument("--redis", default="valkey:6379", metavar="HOST:PORT", help="default valkey:6379")
    files.set_defaults(run="core.ops.init:make_secrets")
    first = actions.add_parser("welcome", help="make the first admin and domain, and print who signs in")
    _data(first)
    first.set_defaults(run="core.ops.init:welcome")


def _demo(command: argparse.ArgumentParser) -> None:
    command.add_argument("--links", type=_count, default=40, metavar="N", help="default 40")
    command.add_argument("--clicks", type=_count, default=20_000, metavar="N", help="default 20000")
    command.add_argument(
        "--days", type=_count, default=30, metavar="D", help="spread over the last D days (default 30)"
    )
    _data(command)
    command.set_defaults(run="core.ops.demo:run_demo")


def _backup(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path, metavar="FILE")
    _data(command)
    command.set_defaults(run="core.ops.backup:run_backup")


def _restore(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path, metavar="FILE")
    command.add_argument("--force", action="store_true", help="replace what is there")
    _data(command)
    command.set_defaults(run="core.ops.restore:run_restore")


def _upgrade(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--old-binaries",
        type=Path,
        metavar="DIR",
        help="folder with the old release's postgres (its bin folder)",
    )
    _data(command)
    command.set_defaults(run="core.ops.upgrade:run_upgrade")


def _migrate(command: argparse.ArgumentParser) -> None:
    _data(command)
    command.set_defaults(run="core.ops.upkeep:run_migrate")


def _republish(command: argparse.ArgumentParser) -> None:
    _data(command)
    command.set_defaults(run="core.ops.upkeep:run_republish")


def _reconcile(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON, every hour included")
    _data(command)
    command.set_defaults(run="core.ops.reconcile:run_reconcile")


def _check(command: argparse.ArgumentParser) -> None:
    _data(command)
    command.set_defaults(run="core.ops.check:run_check")


def _data(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data",
        type=_folder,
        default=ROOT / "var",
        metavar="DIR",
        help="folder of `rastro up` (default ./var)",
    )


def _folder(text: str) -> Path:
    return Path(os.path.abspath(Path(text).expanduser()))  # noqa: PTH100 (a link stays a link)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 65535")
    return port


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it must be 1 or more")
    return number


_OPERATIONS = {
    "up": ("start everything on this machine", _up),
    "demo": ("make example links, clicks and sales", _demo),
    "check": ("look at every setting, the servers and the folders", _check),
    "user": ("create a person, or reset a password", _user),
    "key": ("create, list or revoke API keys", _key),
    "domain": ("add a host name for links", _domain),
    "source": ("make a source of conversions", _source),
    "init": ("make the secrets, the first admin and domain of a compose installation", _init),
    "backup": ("write everything into one file, also while running", _backup),
    "restore": ("put a backup back", _restore),
    "upgrade-data": ("bring the embedded data to this release's PostgreSQL", _upgrade),
    "migrate": ("bring the database's tables up to date", _migrate),
    "republish": ("write every link and domain to Redis again", _republish),
    "reconcile": ("say whether every click is accounted for", _reconcile),
}
