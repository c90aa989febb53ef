"""Mistakes and oddities with their place, and the list of codes.

A code is `J` and three digits; the hundred says of what kind it is: 1 YAML, 2 shape, 3 references, 4 flow,
5 expressions, 6 templates, 7 policies. Every code has a page in `docs/errors/`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Severity = Literal["error", "warning"]
MOST_MISTAKES = 500
"""Of one file; what comes after is not worth reading before these are corrected."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file; line and column count from 1, columns in characters."""

    line: int = 1
    col: int = 1


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake (`error`) or oddity (`warning`)."""

    path: str
    line: int
    col: int
    code: str
    message: str
    severity: Severity = "error"
    expected: str | None = None
    hint: str | None = None
    source: str | None = None
    """The line of the file, None where there is none (an empty or missing file)."""


CODES: dict[str, str] = {
    "J101": "not valid YAML",
    "J102": "an expression with a comma or bracket inside `{…}` needs quotes",
    "J103": "duplicate key",
    "J104": "anchor or alias",
    "J105": "tag",
    "J106": "more than one document in a file",
    "J107": "the file cannot be read as text",
    "J108": "nested too deeply",
    "J109": "number out of range",
    "J110": "key that is not plain text",
    "J201": "unknown key",
    "J202": "missing key",
    "J203": "wrong kind of value",
    "J204": "malformed length",
    "J205": "malformed percentage",
    "J206": "malformed instant or date",
    "J207": "malformed time of day",
    "J208": "malformed name",
    "J209": "value that is not among those possible",
    "J210": "exactly one of several keys is needed",
    "J211": "part of the language but not in this version",
    "J212": "the journey's name differs from the file's",
    "J213": "unknown time zone",
    "J214": "empty where something is needed",
    "J215": "secret written into the file",
    "J216": "malformed rate",
    "J217": "keys that do not go together",
    "J218": "number outside its limits",
    "J219": "file that is not read",
    "J220": "setting that the adapter refuses",
    "J221": "unknown region",
    "J222": "unknown kind of identifier",
    "J223": "malformed schedule",
    "J301": "unknown event",
    "J302": "unknown property",
    "J303": "unknown template",
    "J304": "unknown segment",
    "J305": "unknown tag",
    "J306": "unknown channel",
    "J307": "unknown journey",
    "J308": "unknown attribute",
    "J309": "unknown action",
    "J310": "unknown policy",
    "J311": "unknown stage",
    "J312": "unknown step",
    "J313": "unknown variant",
    "J314": "the template has no text for this channel",
    "J315": "answer that is not saved before it is used",
    "J316": "input that the action does not take, or lacks",
    "J317": "computed attribute cannot be set",
    "J318": "journey that cannot be entered this way",
    "J319": "name declared twice",
    "J320": "adapter that is not installed",
    "J325": "unknown purpose",
    "J326": "tag that a rule keeps",
    "J330": "secret of an address that is not taken from the environment",
    "J335": "name in a link parameter that nothing fills in",
    "J336": "address that links cannot begin with",
    "J340": "unknown audience",
    "J341": "adapter beside routes",
    "J342": "shares of routes over 100",
    "J401": "duplicate id",
    "J402": "unreachable step",
    "J403": "weights do not add up to 100",
    "J404": "cycle of `enter`",
    "J405": "arm that can never hold",
    "J406": "arm under 5 %",
    "J407": "step after `stop`",
    "J408": "`settle` and `goal` on an event without `unless`",
    "J409": "`unless` without `settle`",
    "J410": "`otherwise` that is not last",
    "J501": "expression that is not well formed",
    "J502": "not part of the expression language",
    "J503": "unknown name in an expression",
    "J504": "unknown function",
    "J505": "wrong arguments of a function",
    "J506": "types that do not fit",
    "J507": "comparison with `null`",
    "J508": "`trigger` inside `trigger.where`",
    "J509": "text without quotes where an expression is meant",
    "J510": "condition that is not true or false",
    "J511": "expression too long or too deep",
    "J512": "definitions that need each other",
    "J513": "segment that cannot be asked of everybody",
    "J601": "malformed template",
    "J602": "unknown variable in a template",
    "J603": "value that may be missing in a template",
    "J604": "text message over its length",
    "J605": "part of a template missing or unknown",
    "J606": "template that does not give valid JSON",
    "J607": "layout or block that cannot be put in",
    "J608": "variant or locale of a message that cannot be chosen",
    "J609": "text message of many segments",
    "J610": "signature that is not the provider's",
    "J611": "marketing text without the way out",
    "J612": "URL in a variable of an approved text",
    "J613": "text that fits no approved template",
    "J614": "field of a template that breaks the rule of its kind",
    "J615": "marketing where the provider forbids it",
    "J616": "marketing e-mail without a link to unsubscribe",
    "J617": "HTML larger than mail programs show",
    "J618": "text part with nothing in it",
    "J619": "styles written into each message by itself",
    "J620": "value that a customer may not have",
    "J621": "file or list of attachments that cannot be used",
    "J702": "cap or budget of two kinds at once",
    "J703": "hours that never end",
    "J704": "part of a policy that does nothing",
    "J705": "cap that nothing waits out",
    "J706": "no hour to choose from",
}


def nearest(word: str, known: Iterable[str]) -> str | None:
    """A hint `did you mean …?` for a mistyped word; None if nothing known is near."""
    close = difflib.get_close_matches(word[:200], sorted(known), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else None


def listed(words: Iterable[str], most: int = 12) -> str:
    """The words as a list for `expected`, shortened when long."""
    names = list(words)
    shown = ", ".join(f"`{name}`" for name in names[:most])
    return shown + (f" … ({len(names)} in all)" if len(names) > most else "")


class Reporter:
    """Collects the diagnostics of one file."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        # Lines as YAML and editors count them; `splitlines` would also break at form feeds.
        self._lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self.found: list[Diagnostic] = []
        self._known: set[Diagnostic] = set()
        self._secrets: dict[int, int] = {}

    @property
    def full(self) -> bool:
        """Whether there are so many mistakes that looking for more helps nobody."""
        return len(self.found) >= MOST_MISTAKES

    @property
    def failed(self) -> bool:
        return any(d.severity == "error" for d in self.found)

    def line(self, number: int) -> str | None:
        return self._lines[number - 1] if 0 < number <= len(self._lines) else None

    def error(
        self,
        code: str,
        at: Mark,
        message: str,
        *,
        expected: str | None = None,
        hint: str | None = None,
        severity: Severity = "error",
    ) -> None:
        if code == "J215":
            self._hide(at)
        source = self._shown(at.line)
        found = Diagnostic(self.path, at.line, at.col, code, message, severity, expected, hint, source)
        if found not in self._known and (not self.full or (severity == "error" and not self.failed)):
            self._known.add(found)
            self.found.append(found)

    def _hide(self, at: Mark) -> None:
        """A secret begins there: no mistake on its line, found before or after, may carry it into a log."""
        self._secrets[at.line] = min(at.col, self._secrets.get(at.line, at.col))
        self.found = [replace(d, source=self._shown(d.line)) if d.line == at.line else d for d in self.found]
        self._known = set(self.found)

    def _shown(self, number: int) -> str | None:
        line, secret = self.line(number), self._secrets.get(number)
        return line if line is None or secret is None else line[: secret - 1] + "…"

    def warning(self, code: str, at: Mark, message: str, *, hint: str | None = None) -> None:
        self.error(code, at, message, hint=hint, severity="warning")


def in_order(found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """By file, then by place in the file."""
    return tuple(sorted(found, key=lambda d: (d.path, d.line, d.col, d.code, d.message)))
