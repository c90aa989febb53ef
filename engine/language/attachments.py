"""What e-mails carry beside their text: `attachments.yaml` of a message names files of `templates/_files/`.

Files come as text like everything of a project: `base64:` and their content.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from collections.abc import Mapping as Map
from dataclasses import dataclass

from engine.language.diagnostics import Diagnostic, Mark, Reporter, nearest
from engine.language.loader import Mapping, Node, Scalar, Sequence, load, text_of

FOLDER = "templates/_files/"
BINARY = "base64:"
MOST_BYTES = 10_000_000
"""Of one message; mailboxes refuse more, and base64 adds a third."""
_PATH = re.compile(r"templates/([^/_][^/]*)/attachments\.yaml")
_CID = re.compile(r"\bcid:([^\s\"'>{]+)")


@dataclass(frozen=True, slots=True)
class Attached:
    """One file of a message. `inline`: a picture that its HTML shows as `cid:FILE`."""

    file: str
    name: str
    inline: bool = False


def message_with_attachments(path: str) -> str | None:
    """The message whose attachments a file names; None if it is no such file."""
    match = _PATH.fullmatch(path)
    return match[1] if match else None


def read_attachments(files: Map[str, str]) -> dict[str, tuple[Attached, ...]]:
    """The attachments of all messages; what is not well formed is left out."""
    found = {}
    for path, text in files.items():
        message = message_with_attachments(path)
        if message is not None:
            found[message] = tuple(attached for attached, _ in _entries(load(path, text)[0]))
    return found


def content_of(files: Map[str, str], attached: Attached) -> bytes | None:
    """The file's bytes; None where it is not there or cannot be read."""
    text = files.get(FOLDER + attached.file)
    if text is None or not text.startswith(BINARY):
        return None
    try:
        return base64.b64decode(text.removeprefix(BINARY).strip(), validate=True)
    except (binascii.Error, ValueError):
        return None


def check_attachments(root: Node | None, files: Map[str, str], reporter: Reporter) -> None:
    """Files that are not there, and too much of them."""
    there = [path.removeprefix(FOLDER) for path in files if path.startswith(FOLDER)]
    size = 0
    for attached, node in _entries(root):
        content = content_of(files, attached)
        if content is None:
            said = f"there is no file `{attached.file[:100]}` below {FOLDER}"
            reporter.error("J621", node.mark, said, hint=nearest(attached.file, there))
            continue
        before, size = size, size + len(content)
        if before <= MOST_BYTES < size:
            said = f"with this file the message has more than {MOST_BYTES // 1_000_000} MB"
            reporter.error("J621", node.mark, said, hint="link to large files instead")


def check_pictures(message: str, root: Node | None, files: Map[str, str]) -> Iterator[Diagnostic]:
    """`cid:` in the HTML of a message that none of its attachments is."""
    inline = {attached.file for attached, _ in _entries(root) if attached.inline}
    for path in sorted(files):
        if not path.startswith(f"templates/{message}/") or not path.endswith(".html.j2"):
            continue
        for number, line in enumerate(files[path].split("\n"), 1):
            for match in _CID.finditer(line):
                if match[1] not in inline:
                    said = f"no attachment of the message is `{match[1][:100]}` with `inline: true`"
                    hint = nearest(match[1], inline) or "name it in the message's attachments.yaml"
                    at = Mark(number, match.start() + 1)
                    yield Diagnostic(path, at.line, at.col, "J621", said, hint=hint, source=line)


def _entries(root: Node | None) -> Iterator[tuple[Attached, Scalar]]:
    listed = root.get("attachments") if isinstance(root, Mapping) else None
    for each in listed.items if isinstance(listed, Sequence) else ():
        if isinstance(each, Mapping):
            node, inline = each.get("file"), each.get("inline")
            file = text_of(node)
            if file is not None and isinstance(node, Scalar):
                name = text_of(each.get("name")) or file.rpartition("/")[2]
                yield Attached(file, name, isinstance(inline, Scalar) and inline.value is True), node
