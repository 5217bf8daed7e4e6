"""Draw the session's diagram in protocol.md anew, from the table of states and events."""

import re
from pathlib import Path

from presence_protocol.session import mermaid

PAGE = Path(__file__).with_name("protocol.md")
BLOCK = re.compile(r"(?<=```mermaid\n).*?(?=```)", re.DOTALL)


def main(page: Path = PAGE) -> None:
    text = page.read_text(encoding="utf-8")
    page.write_text(BLOCK.sub(lambda _: mermaid() + "\n", text, count=1), encoding="utf-8")


if __name__ == "__main__":
    main()
