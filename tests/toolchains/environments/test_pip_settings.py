from __future__ import annotations

import configparser
import os
from pathlib import Path

import pytest

from buildsys.toolchains.environments.pip_settings import PipSettings, config_files


def conf(tmp_path: Path, name: str, text: str) -> Path:
    file = tmp_path / name
    file.write_text(text)
    return file


def test_variables_win_over_files_and_install_over_global(tmp_path: Path) -> None:
    weak = conf(tmp_path, "a.conf", "[global]\ntimeout = 1\nproxy = p\nindex_url = https://a/s\n")
    strong = conf(tmp_path, "b.conf", "[install]\ntimeout = 3\n[global]\ntimeout = 2\n")
    settings = PipSettings.read({"PIP_INDEX_URL": "https://b/s"}, [weak, strong])
    assert settings.values == {"timeout": "3", "proxy": "p", "index-url": "https://b/s"}


def test_a_percent_sign_is_itself(tmp_path: Path) -> None:
    file = conf(tmp_path, "pip.conf", "[global]\nindex-url = https://u:p%40s@host/simple\n")
    assert PipSettings.read({}, [file]).for_uv({})["UV_DEFAULT_INDEX"].startswith("https://u:p%40s")


def test_a_broken_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(configparser.Error):
        PipSettings.read({}, [conf(tmp_path, "pip.conf", "index-url = x\n")])


def test_no_setting_asks_for_no_index_of_its_own() -> None:
    said = PipSettings().for_uv({})
    assert "UV_DEFAULT_INDEX" not in said
    assert "UV_FIND_LINKS" not in said


def test_the_main_index_comes_before_the_extra_ones() -> None:
    settings = PipSettings({"extra-index-url": "https://x/s\nhttps://y/s"})
    said = settings.for_uv({})
    assert said["UV_INDEX"] == "https://pypi.org/simple https://x/s"
    assert said["UV_DEFAULT_INDEX"] == "https://y/s"
    own = PipSettings({"index-url": "https://own/s", "extra-index-url": "https://x/s"}).for_uv({})
    assert (own["UV_INDEX"], own["UV_DEFAULT_INDEX"]) == ("https://own/s", "https://x/s")


@pytest.mark.parametrize("name", ["UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_indexes_that_were_set_for_uv_stay(name: str) -> None:
    settings = PipSettings({"index-url": "https://own/s", "find-links": "https://links"})
    said = settings.for_uv({name: "https://theirs/s"})
    assert "UV_DEFAULT_INDEX" not in said
    assert said["UV_FIND_LINKS"] == "https://links"


def test_links_are_meant_from_where_the_user_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = PipSettings({"find-links": "wheels https://links file:///w"}).for_uv({})
    assert said["UV_FIND_LINKS"] == f"{tmp_path}/wheels,https://links,file:///w"


def test_the_rest_is_passed_on() -> None:
    said = PipSettings(
        {
            "trusted-host": "a b:8080",
            "timeout": "7",
            "retries": "2",
            "client-cert": "/c.pem",
            "proxy": "http://proxy:3128",
        }
    ).for_uv({})
    assert said["UV_INSECURE_HOST"] == "a b:8080"
    assert (said["UV_HTTP_TIMEOUT"], said["UV_HTTP_RETRIES"]) == ("7", "2")
    assert (said["SSL_CLIENT_CERT"], said["ALL_PROXY"]) == ("/c.pem", "http://proxy:3128")


def test_certificates() -> None:
    assert PipSettings({"cert": "/own.pem"}).for_uv({"SSL_CERT_FILE": "/other.pem"})[
        "SSL_CERT_FILE"
    ] == ("/own.pem")
    assert PipSettings().for_uv({"REQUESTS_CA_BUNDLE": "/r.pem"})["SSL_CERT_FILE"] == "/r.pem"
    kept = PipSettings().for_uv({"SSL_CERT_FILE": "/s.pem", "REQUESTS_CA_BUNDLE": "/r.pem"})
    assert "SSL_CERT_FILE" not in kept
    assert "UV_SYSTEM_CERTS" not in kept


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("yes", True), ("false", False)])
def test_no_index(value: str, expected: bool) -> None:
    assert PipSettings({"no-index": value}).no_index is expected


def test_config_files(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/own.conf"}
    assert config_files(environ)[-1] == Path("/own.conf")
    assert tmp_path / ".pip" / "pip.conf" in config_files(environ)
    assert config_files({"PIP_CONFIG_FILE": os.devnull}) == ()
