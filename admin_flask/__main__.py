"""`python -m admin_flask`: the manager. Exit 2 when a setting can not be used."""

import sys

from admin_flask.server import serve
from core import telemetry
from core.config import SettingError, Settings


def main() -> None:
    """Read the settings and serve."""
    try:
        settings = Settings.from_env().require("database_url", "redis_url", "secret_key")
        telemetry.check(settings)
    except SettingError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    serve(settings)


if __name__ == "__main__":
    main()
