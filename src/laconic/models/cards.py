"""The page on a model that was compressed: what it was made of, how, what it takes, and what it is worth."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import final

from laconic.format.enclosed import FILE
from laconic.models.companions import CARD
from laconic.models.directories import CONFIG

_KEPT = ("license", "license_name", "license_link", "language", "pipeline_tag")
"""What the first lines of a page say that holds for what is made of the model, too."""

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_NO_TEXTS = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")
"""Words that YAML takes for something else."""

_SNAPSHOT = re.compile(r"models--(.+)--(.+)")
"""A folder of the cache of downloads: owner and name."""


@final
@dataclass(frozen=True)
class Card:
    """What a page says.

    Args:
        base: name of the model that it was made of.
        bytes: of the file of weights.
        base_bytes: of those of the model.
        bits: a weight, all of the file counted; None where there are no weights.
        quality: a sentence for each thing that was measured.
        command: that made it.
        version: of laconic.
    """

    base: str
    bytes: int
    base_bytes: int
    bits: float | None
    quality: tuple[str, ...]
    command: str
    version: str

    def text(self, source: Path) -> str:
        """Return the page, with what the page of the model says on its licence and language.

        Args:
            source: the folder of the model.
        """
        library = ["library_name: transformers"] if (source / CONFIG).is_file() else []
        head = [
            "base_model: " + _scalar(self.base),
            "base_model_relation: quantized",
            *library,
            *_kept(source / CARD),
            "tags:\n- laconic",
        ]
        bits = f", {self.bits:.3f} bits a weight" if self.bits is not None else ""
        worth = "\n".join(f"- {line}" for line in self.quality)
        return f"""---
{chr(10).join(head)}
---

# {self.base}, compressed

`{FILE}` holds all weights: {self.bytes:,} bytes{bits}, embeddings and everything else counted. Those of {self.base}
take {self.base_bytes:,} bytes, {self.base_bytes / self.bytes:.2f} times as many.

What was measured:

{worth or "- nothing"}

Made by laconic {self.version}:

    {self.command}

To load it (`pip install 'laconic[hf]'`):

```python
import laconic.hf
model = laconic.hf.from_pretrained("this folder")   # or AutoModel.from_pretrained, once laconic.hf is imported
```

`laconic decompress` makes a plain folder of it, which needs no laconic.
"""


def base_of(folder: Path) -> str:
    """Return the name of the model in a folder: owner and name, where it is one of the cache of downloads.

    >>> base_of(Path("hub/models--owner--small-1b/snapshots/abc")), base_of(Path("runs/mine"))
    ('owner/small-1b', 'mine')
    """
    whole = folder.absolute()
    cached = [match for part in whole.parts if (match := _SNAPSHOT.fullmatch(part))]
    return f"{cached[-1][1]}/{cached[-1][2]}" if cached else whole.name


def _kept(page: Path) -> list[str]:
    """Return the lines of a page's head that hold for what is made of the model."""
    lines = page.read_text(encoding="utf-8-sig", errors="replace").splitlines() if page.is_file() else []
    if not lines or lines[0].strip() != "---" or "---" not in lines[1:]:
        return []
    head = lines[1 : lines.index("---", 1)]
    parts = list[list[str]]()  # a key each, with what is indented under it, or listed
    for line in head:
        if line[:1] in (" ", "\t", "-"):
            parts = parts or [[""]]
            parts[-1] += [line] if line.strip() else []
        elif line and not line.startswith("#"):
            parts.append([line])
    told = [part for part in parts if part[0].partition(":")[2].strip() or len(part) > 1]
    return [line for part in told if part[0].partition(":")[0].rstrip() in _KEPT for line in part]


def _scalar(text: str) -> str:
    """Return a text as YAML reads it: as it is where that is one word, else in double quotes, as JSON writes it.

    >>> _scalar("owner/small-1b"), _scalar("my: model #1"), _scalar("1e5")
    ('owner/small-1b', '"my: model #1"', '"1e5"')
    """
    is_plain = _WORD.fullmatch(text) and text.lower() not in _NO_TEXTS
    return text if is_plain else json.dumps(text, ensure_ascii=False)
