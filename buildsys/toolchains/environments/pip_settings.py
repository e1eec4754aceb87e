"""The user's own pip settings, which uv does not read, and what they are in uv's words."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PYPI = "https://pypi.org/simple"
SECTIONS = ("global", "install")
UV_INDEXES = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")
TRUE = frozenset({"1", "true", "yes", "on", "y", "t"})


@dataclass(frozen=True)
class PipSettings:
    """Where packages come from, as the user told pip.

    Attributes:
        values: Option name to value, for example `index-url`. Lists are split by white space.
    """

    values: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def read(environ: Mapping[str, str], files: Iterable[Path] | None = None) -> PipSettings:
        """Reads what pip would read, in pip's order: files, then `PIP_*` variables.

        No pip is asked, since an environment made by uv has none.

        Raises:
            configparser.Error: A file is not of pip's form.
            OSError: A file is there and cannot be read.
        """
        values: dict[str, str] = {}
        for file in config_files(environ) if files is None else files:
            values.update(_from_file(file))
        for name, value in environ.items():
            if name.startswith("PIP_") and name != "PIP_CONFIG_FILE" and value:
                values[_option(name.removeprefix("PIP_"))] = value
        return PipSettings(values)

    def many(self, option: str) -> tuple[str, ...]:
        """The values of an option that takes several."""
        return tuple(self.values.get(option, "").split())

    @property
    def no_index(self) -> bool:
        """Whether only `find-links` may be used."""
        return self.values.get("no-index", "").lower() in TRUE

    def for_uv(self, environ: Mapping[str, str]) -> dict[str, str]:
        """These settings as variables for uv; what the user set for uv itself stays.

        Variables rather than flags, so that credentials in an index's address are in no process
        list and in no log.

        The main index comes first, and `extra-index-url` after it: uv would have it the other way
        round, and take a pinned file from an index where it has another hash.
        """
        theirs = {
            "UV_FIND_LINKS": ",".join(_absolute(link) for link in self.many("find-links")),
            "UV_INSECURE_HOST": " ".join(self.many("trusted-host")),
            "UV_HTTP_TIMEOUT": self.values.get("timeout", self.values.get("default-timeout", "")),
            "UV_HTTP_RETRIES": self.values.get("retries", ""),
            "SSL_CLIENT_CERT": self.values.get("client-cert", ""),
            "ALL_PROXY": self.values.get("proxy", ""),
            # As pip does it: the best version over all indexes, and links beside them.
            "UV_INDEX_STRATEGY": "unsafe-best-match",
            "UV_NO_PROGRESS": "1",
        }
        if not any(environ.get(name) for name in UV_INDEXES):
            theirs.update(self._indexes())
        chosen = {n: v for n, v in theirs.items() if v and not environ.get(n)}
        return {**chosen, **self._certificates(environ)}

    def _indexes(self) -> dict[str, str]:
        own, extra = self.values.get("index-url", ""), self.many("extra-index-url")
        if not extra:
            return {"UV_DEFAULT_INDEX": own}
        *first, last = [own or PYPI, *extra]
        return {"UV_INDEX": " ".join(first), "UV_DEFAULT_INDEX": last}

    def _certificates(self, environ: Mapping[str, str]) -> dict[str, str]:
        bundle = self.values.get("cert") or environ.get("REQUESTS_CA_BUNDLE")
        if bundle and ("cert" in self.values or not environ.get("SSL_CERT_FILE")):
            return {"SSL_CERT_FILE": str(Path(bundle).expanduser())}
        chosen = ("SSL_CERT_FILE", "SSL_CERT_DIR", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS")
        if any(environ.get(name) for name in chosen):
            return {}
        # pip trusts what the system trusts; uv brings a list of its own, without a company's.
        import ssl  # Only what installs packages asks for certificates.

        paths = ssl.get_default_verify_paths()
        system = sys.platform == "darwin" or paths.cafile or paths.capath
        return {"UV_SYSTEM_CERTS": "true"} if system else {}


def config_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The configuration files of pip, weakest first; not all need exist."""
    own = environ.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return ()
    home = Path(environ.get("HOME") or Path.home())
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip"
    if sys.platform == "darwin":
        support = Path("Library/Application Support/pip")
        shared = [Path("/") / support]
        config = home / support if (home / support).is_dir() else config
    else:
        folders = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
        shared = [*(Path(folder) / "pip" for folder in folders), Path("/etc")]
    folders_in_order = [*shared, home / ".pip", config, Path(sys.prefix)]
    files = [folder / "pip.conf" for folder in folders_in_order]
    return (*files, *([Path(own)] if own else []))


def _from_file(file: Path) -> Iterator[tuple[str, str]]:
    if not file.is_file():
        return
    import configparser

    parser = configparser.RawConfigParser()
    parser.read_string(file.read_text(encoding="utf-8"), source=str(file))
    for section in SECTIONS:
        if parser.has_section(section):
            yield from ((_option(name), value) for name, value in parser.items(section) if value)


def _option(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")


def _absolute(link: str) -> str:
    # An address stays; a path is meant from where the user stands, and the installer runs elsewhere.
    return link if "://" in link else str(Path(link).expanduser().absolute())
