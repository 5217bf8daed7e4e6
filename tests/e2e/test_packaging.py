"""What is installed is what was tested: the wheel's contents, its metadata, and a server run from it."""

from __future__ import annotations

import json
import os
import posixpath
import re
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from presence_server import __version__

ROOT = Path(__file__).parents[2]
open_url = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

PACKAGES = {
    "presence_server": ROOT / "server",
    "presence_protocol": ROOT / "client_sdk" / "python",
    "presence_client": ROOT / "client_sdk" / "python",
}


def build(kind: str, folder: Path, source: Path = ROOT) -> Path:
    """Build a wheel or an sdist of `source`, without a network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=60)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what an installation of the wheel puts into site-packages."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(build("wheel", tmp_path_factory.mktemp("wheel"))) as wheel:
        wheel.extractall(folder)
    return folder


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_it_installs_three_packages_and_nothing_else(unpacked: Path) -> None:
    """Above all no module called `server` or `tests`."""
    assert {path.name for path in unpacked.iterdir()} == {*PACKAGES, f"presence_service-{__version__}.dist-info"}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_whole(unpacked: Path, package: str) -> None:
    source = PACKAGES[package] / package
    expected = {name for name in files(source) if "__pycache__" not in name}
    expected |= (
        {f"web/sdk/{name}" for name in files(ROOT / "client_sdk" / "js")} if package == "presence_server" else set()
    )
    assert files(unpacked / package) == expected
    assert "py.typed" in expected


def test_the_packaged_browser_sdk_is_that_of_the_source(unpacked: Path) -> None:
    packaged = unpacked / "presence_server" / "web" / "sdk"
    for source in (ROOT / "client_sdk" / "js").glob("*.js"):
        assert (packaged / source.name).read_bytes() == source.read_bytes()


@pytest.fixture(scope="module")
def metadata(unpacked: Path) -> Message:
    return Parser().parsestr((unpacked / f"presence_service-{__version__}.dist-info" / "METADATA").read_text("utf-8"))


def test_the_base_needs_only_what_a_client_needs(metadata: Message) -> None:
    required = metadata.get_all("Requires-Dist", [])
    names = {True: set(), False: set()}  # type: dict[bool, set[str]]
    for requirement in required:
        name = re.match(r"[\w.-]+", requirement)
        assert name is not None
        names["extra ==" in requirement].add(name[0])
    assert names[False] == {"anyio", "httpx", "msgspec", "websockets"}
    server = {"httpcore", "httptools", "pyjwt", "standardwebhooks", "starlette", "uvicorn", "uvloop"}
    assert names[True] == server
    assert metadata.get_all("Provides-Extra") == ["server", "webhooks"]


def test_it_says_what_its_licence_is(unpacked: Path, metadata: Message) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    folder = unpacked / f"presence_service-{__version__}.dist-info" / "licenses"
    assert {path.name for path in folder.iterdir()} == {"LICENSE", "NOTICE"}
    for name in ("LICENSE", "NOTICE"):
        assert (ROOT / "client_sdk" / "python" / name).read_bytes() == (ROOT / name).read_bytes()


def test_one_version_for_all_that_is_released_together() -> None:
    assert json.loads((ROOT / "client_sdk" / "js" / "package.json").read_text("utf-8"))["version"] == __version__
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_its_name_version_and_python(metadata: Message) -> None:
    assert (metadata["Name"], metadata["Version"]) == ("presence-service", __version__)
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_two_console_scripts(unpacked: Path) -> None:
    scripts = ConfigParser()
    scripts.read(unpacked / f"presence_service-{__version__}.dist-info" / "entry_points.txt")
    assert dict(scripts["console_scripts"]) == {
        "presence-server": "presence_server.__main__:main",
        "presence-client": "presence_client.__main__:main",
    }


def run_in(unpacked: Path, *arguments: str, blocked: str = "") -> subprocess.Popen[str]:
    """Python with the unpacked wheel before everything else. `blocked`: modules that cannot be imported."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PRESENCE_")}
    block = f"import sys; sys.modules.update(dict.fromkeys({blocked.split()!r}));" if blocked else ""
    run = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_module(sys.argv[0], run_name='__main__')"
    return subprocess.Popen(
        [sys.executable, "-c", block + run, *arguments],
        cwd=unpacked,
        env=environment | {"PYTHONPATH": str(unpacked), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def url(unpacked: Path) -> Iterator[str]:
    """The URL of a server that runs from the wheel."""
    with run_in(unpacked, "presence_server", "--port", "0", "--log-level", "error") as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://\S+/", process.stdout.readline())
            assert found is not None
            yield found[0]
        finally:
            process.kill()


def test_it_serves_the_page_and_everything_that_the_page_asks_for(unpacked: Path, url: str) -> None:
    page = open_url(url, timeout=10).read().decode()
    written = (unpacked / "presence_server" / "web" / "index.html").read_text("utf-8")
    assert page == written.replace('grace-period" content=""', 'grace-period" content="10"')
    seen: set[str] = set()
    to_ask = re.findall(r'(?:src|href)="(\w[^":]+)"', page)
    assert {"assets/page.js", "docs", "openapi.json"} <= set(to_ask)
    while to_ask:
        path = to_ask.pop()
        if path in seen:
            continue
        seen.add(path)
        with open_url(url + path, timeout=10) as answer:
            assert answer.status == 200
            body = answer.read().decode()
        if path.endswith(".js"):
            folder = path.rpartition("/")[0]
            imported = re.findall(r'\bfrom "(\.[^"]+)"', body)
            to_ask += [posixpath.normpath(f"{folder}/{name}") for name in imported]
    assert "sdk/presence.js" in seen


def test_the_sdk_is_the_packages_own_copy(unpacked: Path, url: str) -> None:
    mark = "\n// from the wheel\n"
    # Read once at the start: only a server that starts now can show it.
    copy = unpacked / "presence_server" / "web" / "sdk" / "backoff.js"
    original = copy.read_text("utf-8")
    copy.write_text(original + mark, "utf-8")
    try:
        with run_in(unpacked, "presence_server", "--port", "0") as process:
            assert process.stdout is not None
            found = re.search(r"http://\S+/", process.stdout.readline())
            assert found is not None
            body = open_url(f"{found[0]}sdk/backoff.js", timeout=10).read().decode()
            process.kill()
    finally:
        copy.write_text(original, "utf-8")
    assert body == original + mark


def test_the_client_runs_without_the_servers_dependencies(unpacked: Path, url: str) -> None:
    blocked = "httptools starlette uvicorn uvloop presence_server"
    with run_in(unpacked, "presence_client", "status", "5", "--url", url, blocked=blocked) as process:
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "5  OFFLINE  -        never seen\n", "")


@pytest.mark.parametrize("missing", ["httptools", "starlette", "uvicorn"])
def test_a_server_without_its_extra_says_what_to_install(unpacked: Path, missing: str) -> None:
    with run_in(unpacked, "presence_server", "--port", "0", blocked=missing) as process:
        out, err = process.communicate(timeout=20)
    told = f"presence-server: {missing} is not installed; a server needs: pip install 'presence-service[server]'\n"
    assert (process.returncode, out, err) == (1, "", told)


def test_the_version_and_a_wrong_setting_need_no_extra(unpacked: Path) -> None:
    blocked = "httptools jwt starlette uvicorn uvloop"
    with run_in(unpacked, "presence_server", "--version", blocked=blocked) as process:
        assert process.communicate(timeout=20) == (f"presence-server {__version__}\n", "")
    with run_in(unpacked, "presence_server", "--port", "x", blocked=blocked) as process:
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)


def test_an_empty_environment_gets_the_client_and_only_what_it_needs(url: str, tmp_path: Path) -> None:
    wheel = build("wheel", tmp_path / "wheel")
    pinned = tmp_path / "pinned.txt"
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    pinned.write_text("\n".join(re.findall(r"^[\w.-]+==\S+", lock, re.MULTILINE)), "utf-8")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True, timeout=60)
    pip = [sys.executable, "-m", "pip", "--python", tmp_path / "env", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "-c", pinned, wheel], check=True, capture_output=True, timeout=120)
    listed = subprocess.run([*pip, "list", "--format", "json"], check=True, capture_output=True, timeout=60)
    installed = {package["name"].lower().replace("_", "-") for package in json.loads(listed.stdout)}
    needed = {"presence-service", "anyio", "httpx", "msgspec", "websockets"}
    assert needed <= installed
    assert installed - needed <= {"certifi", "h11", "httpcore", "idna", "sniffio", "typing-extensions"}
    command = [tmp_path / "env" / "bin" / "presence-client", "status", "5", "--url", url]
    asked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=20)
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "5  OFFLINE  -        never seen\n", "")


def test_the_clients_own_distribution_has_the_client_and_no_server(url: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(build("wheel", tmp_path / "wheel", ROOT / "client_sdk" / "python")) as wheel:
        wheel.extractall(tmp_path / "site")
    metadata_file = tmp_path / "site" / f"presence_client-{__version__}.dist-info" / "METADATA"
    assert {path.name for path in (tmp_path / "site").iterdir()} == {
        "presence_client",
        "presence_protocol",
        metadata_file.parent.name,
    }
    required = Parser().parsestr(metadata_file.read_text("utf-8")).get_all("Requires-Dist", [])
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extra = [f'{each}; extra == "webhooks"' for each in project["optional-dependencies"]["webhooks"]]
    assert {Requirement(each) for each in required} == {Requirement(each) for each in project["dependencies"] + extra}
    with run_in(
        tmp_path / "site", "presence_client", "status", "5", "--url", url, blocked="presence_server"
    ) as process:
        out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "5  OFFLINE  -        never seen\n")


def test_the_sdist_builds_the_same_wheel(unpacked: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path / "sdist")) as sdist:
        sdist.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    with zipfile.ZipFile(build("wheel", tmp_path / "wheel", source)) as wheel:
        assert {name for name in wheel.namelist() if not name.endswith("/")} == files(unpacked)
