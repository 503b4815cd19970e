"""Text of a page: escaped, and numbers as people read them."""

import html
import math
from collections.abc import Sequence


def safe(text: object) -> str:
    """Return text as HTML shows it, in attributes too; what no page can hold is replaced.

    >>> safe('<b> & "c"')
    '&lt;b&gt; &amp; &quot;c&quot;'
    """
    return html.escape("".join(one if one.isprintable() or one == "\n" else "�" for one in str(text)), quote=True)


def breaking(name: object) -> str:
    """Return a name as HTML shows it, which may be broken after its points and underscores.

    >>> breaking("fc1.weight")
    'fc1.<wbr>weight'
    """
    return safe(name).replace(".", ".<wbr>").replace("_", "_<wbr>")


def in_bytes(count: float) -> str:
    """Return a number of bytes with a unit of three digits: B, kB (1,000 B), MB or GB.

    >>> in_bytes(53575), in_bytes(916), in_bytes(1092592), in_bytes(10004)
    ('53.6 kB', '916 B', '1.09 MB', '10.0 kB')
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= size:
            places = max(0, 2 - math.floor(math.log10(abs(count) / size)))
            return f"{count / size:,.{places}f} {unit}"
    return f"{count:.0f} B"


def figures(value: float | None, digits: int = 3) -> str:
    """Return a number in so many digits, a dash for none, and signs as they are printed.

    >>> figures(0.0123456), figures(1234.5), figures(-2.0), figures(None), figures(1e-7)
    ('0.0123', '1,230', '−2', '–', '1.00e−7')
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    value = float(f"{value:.{digits}g}")  # before digits are counted: 0.09999 has those of 0.1
    size = abs(value)
    if size and (size < 1e-4 or size >= 1e12):
        text = f"{value:.{digits - 1}e}"
        mantissa, _, exponent = text.partition("e")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    whole = len(str(int(size))) if size >= 1 else 0
    if whole >= digits:
        scale = 10.0 ** (whole - digits)
        text = f"{round(value / scale) * scale:,.0f}"
    else:
        places = digits - whole if size >= 1 or not size else digits - 1 - math.floor(math.log10(size))
        text = f"{value:.{places}f}"
        text = text.rstrip("0").rstrip(".") if float(text) == round(float(text)) else text
    return text.replace("-", "−")


def percent(share: float, digits: int = 1) -> str:
    """Return a share in percent.

    >>> percent(0.1234), percent(0.00001), percent(0.0)
    ('12.3 %', '<0.1 %', '0 %')
    """
    if not share:
        return "0 %"
    least = 10.0**-digits
    return f"<{least:g} %" if 0 < 100 * share < least else f"{100 * share:.{digits}f} %"


def shape(lengths: Sequence[int]) -> str:
    """Return a shape.

    >>> shape((64, 3, 3)), shape(())
    ('64 × 3 × 3', 'scalar')
    """
    return " × ".join(map(str, lengths)) or "scalar"
