"""Content: templates by message and channel, checked before use and rendered for one customer.

Sandboxed Jinja2, strict about what is missing, bounded in time and memory: a template that loops or grows
without end is stopped, for its own customer only. Reads no file and no clock: files come in as
text. May import `engine.core`.
"""

from engine.content.checking import check_message, check_paths
from engine.content.errors import RenderError, TemplateProblem
from engine.content.parts import PARTS, Folder, part_of, template_path
from engine.content.scope import Rules, TemplateScope
from engine.content.sms import Segments, sms_segments
from engine.content.templates import Rendered, TemplateSet

__all__ = [
    "PARTS",
    "Folder",
    "RenderError",
    "Rendered",
    "Rules",
    "Segments",
    "TemplateProblem",
    "TemplateScope",
    "TemplateSet",
    "check_message",
    "check_paths",
    "part_of",
    "sms_segments",
    "template_path",
]
