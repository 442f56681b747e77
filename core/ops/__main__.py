"""`python -m core.ops COMMAND`: what `./rastro` carries out itself."""

import sys
from importlib import import_module

from core.config import SettingError
from core.ops.commands import CommandFailed, build_parser


def main() -> int:
    """Run one command; a failure is one line on stderr (2 = a setting, 3 = a port, 1 = anything else)."""
    args = build_parser().parse_args()
    module, _, function = args.run.partition(":")
    try:
        status: int = getattr(import_module(module), function)(args)
        return status
    except SettingError as error:
        return _tell(str(error), 2)
    except CommandFailed as error:
        return _tell(str(error), error.status)
    except KeyboardInterrupt:
        return 130


def _tell(text: str, status: int) -> int:
    print(f"rastro: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
