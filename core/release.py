"""Which release of Rastro this is; setup.cfg takes the number from here."""

VERSION = "0.1.0"
