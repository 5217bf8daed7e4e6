"""The browser SDK as npm has it: packed, installed into an empty project, required, imported and type checked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.server import run_server

ROOT = Path(__file__).parents[2]
SDK = ROOT / "client_sdk" / "js"
MODULES = ROOT / "tests" / "node" / "node_modules"

STORY = """
const client = new PresenceClient({ url: process.argv[2], userId: 1, watch: [2], WebSocket });
client.connect().then(async () => {
  await client.setStatus("BUSY", { forMs: 60_000 });
  console.log(client.state, client.view.get(2).status, (await client.query([1]))[0].status);
  client.bye();
}).catch((error) => { console.error(error); process.exit(1); });
"""

TYPED = """
import { connect, NotConnected, PresenceClient, type Options, type View } from "presence-client";

class Socket {
  onopen = null; onmessage = null; onclose = null; onerror = null;
  constructor(url: string, protocols: string[]) { void [url, protocols]; }
  send(text: string) { void text; }
  close() {}
}

const options: Options = { url: "https://example.org", userId: 1, token: async () => null, WebSocket: Socket };
const client: PresenceClient = connect(options);
client.addEventListener("change", ({ detail }) => {
  for (const { userId, before, after } of detail.changes) void [String(userId), before?.status, after.platforms];
});
const named = connect({ ...options, userIds: "string", userId: "ann", watch: ["bob"] });
const held = [...named.view.entries()].map(([userId]) => userId);
export const known: (string | number)[] = [...named.view.keys(), ...named.watched, ...held];
client.addEventListener("state", { handleEvent: ({ detail }) => void detail.nextTryAt });
const view: View = client.view;
export const statuses: string[] = [...view].map(([, entry]) => entry.status);
export async function use() {
  const aborter = { aborted: false, addEventListener() {}, removeEventListener() {} };
  const { limits } = await client.connect({ signal: aborter, timeout: 5000 });
  await client.setStatus("BUSY", { forMs: limits.pingInterval, statusText: "lunch", signal: aborter });
  await client.watch([2, 3]).catch((error) => (error instanceof NotConnected ? error.status : null));
  // @ts-expect-error there is no such status
  await client.setStatus("ASLEEP");
}

import { isChanges, WebhookReceiver, WebhookRefused } from "presence-client/webhooks";

export async function receive(body: Uint8Array, headers: Record<string, string | string[] | undefined>) {
  try {
    const event = await new WebhookReceiver(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).verify(body, headers);
    return isChanges(event) ? event.changes.map(({ userId, device }) => [userId, device?.platform]) : event.id;
  } catch (error) {
    return error instanceof WebhookRefused ? error.reason : null;
  }
}
"""


def run(*command: Any, cwd: Path) -> str:
    ran = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tarball that `npm publish` would send."""
    folder = tmp_path_factory.mktemp("packed")
    # A copy: what npm makes for `require()` stands beside the modules.
    source = shutil.copytree(SDK, folder / "js", ignore=shutil.ignore_patterns("*.cts", "*.cjs"))
    run("npm", "pack", "--silent", "--pack-destination", folder, cwd=source)
    (tarball,) = folder.glob("*.tgz")
    return tarball


@pytest.fixture(scope="module")
def project(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty project with the SDK, and with `ws` where Node has no WebSocket."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "package.json").write_text('{"name": "empty", "private": true}', "utf-8")
    run("npm", "install", "--offline", "--silent", "--no-audit", "--no-fund", packed, cwd=folder)
    os.symlink(MODULES / "ws", folder / "node_modules" / "ws")
    return folder


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with run_server() as server:
        yield server.url


def test_it_is_ready_to_be_published(project: Path) -> None:
    installed = project / "node_modules" / "presence-client"
    package = json.loads((installed / "package.json").read_text("utf-8"))
    assert "private" not in package
    assert package["license"] == "Apache-2.0"
    assert "dependencies" not in package
    shipped = {path.name for path in installed.iterdir()}
    assert shipped >= {path.name for path in SDK.glob("*.js")} | {"LICENSE", "README.md"}
    named = {package["main"], package["types"]}
    for ways in (package["exports"]["."], package["exports"]["./webhooks"]):
        named |= {*ways["import"].values(), *ways["require"].values(), ways["default"]}
    assert {name.removeprefix("./") for name in named} <= shipped
    assert "build.mjs" not in shipped


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("esm.mjs", 'import { PresenceClient } from "presence-client";\nimport WebSocket from "ws";'),
        ("cjs.cjs", 'const { PresenceClient } = require("presence-client");\nconst WebSocket = require("ws");'),
    ],
)
def test_an_empty_project_can_use_it(project: Path, url: str, name: str, head: str) -> None:
    (project / name).write_text(head + STORY, "utf-8")
    assert run("node", name, url, cwd=project) == "online OFFLINE BUSY\n"


@pytest.mark.parametrize("entry", ["presence-client", "presence-client/webhooks"])
def test_both_entries_have_the_same_names(project: Path, entry: str) -> None:
    tell = "console.log(JSON.stringify(Object.keys(it).sort()))"
    imported = run("node", "--input-type=module", "-e", f"import * as it from '{entry}'; {tell}", cwd=project)
    required = run("node", "-e", f"const it = require('{entry}'); {tell}", cwd=project)
    assert imported == required


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("hook.mjs", 'import { WebhookReceiver } from "presence-client/webhooks";'),
        ("hook.cjs", 'const { WebhookReceiver } = require("presence-client/webhooks");'),
    ],
)
def test_a_back_end_can_verify_webhooks(project: Path, name: str, head: str) -> None:
    vectors = json.loads((ROOT / "tests" / "vectors" / "webhooks.json").read_text("utf-8"))
    (project / name).write_text(
        f"""{head}
const {{ secrets, body, headers }} = {json.dumps(vectors["cases"][0])};
const receiver = new WebhookReceiver(secrets, {{ now: () => {vectors["now"]}000 }});
receiver.verify(body, headers).then(({{ changes }}) => console.log(changes[0].userId, changes[0].cause));
""",
        "utf-8",
    )
    assert run("node", name, cwd=project) == "10001 connected\n"


IN_A_BROWSER = """
const inBrowser = connect({ url: location.origin, WebSocket });
inBrowser.addEventListener("self", ({ detail }) => void detail.devices, { signal: new AbortController().signal });
void inBrowser.connect({ signal: AbortSignal.timeout(1000) });
"""


@pytest.mark.parametrize("lib", ["es2020", "es2022,dom"])
@pytest.mark.parametrize("suffix", ["mts", "cts"])
def test_its_types_hold_with_and_without_a_browsers(project: Path, suffix: str, lib: str) -> None:
    name = f"typed.{suffix}"
    (project / name).write_text(TYPED + (IN_A_BROWSER if "dom" in lib else ""), "utf-8")
    compiler = MODULES / "typescript" / "bin" / "tsc"
    options = "--noEmit --strict --module nodenext --moduleResolution nodenext --target es2020"
    run("node", compiler, *options.split(), "--lib", lib, "--skipLibCheck", "false", name, cwd=project)
