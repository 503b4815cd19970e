"""The page of one file."""

from laconic.insight.report import Report
from laconic.page import changes, sizes
from laconic.page.document import facts, page


def report_page(report: Report, version: str) -> str:
    """Return the page of a file, all of it.

    Args:
        report: what there is to say.
        version: of what has made it.
    """
    known = [report.metadata[key] for key in ("net", "data") if key in report.metadata]
    lead = f"{' on '.join(known)}: where the bytes are, and what they cost" if known else "Where the bytes are"
    sections = [
        sizes.where(report), sizes.bars(report), sizes.kinds(report), sizes.waterfall(report), changes.error(report),
        changes.weights(report), changes.damage(report), changes.costs(report), changes.run(report),
    ]  # fmt: skip
    _, words = sizes.cells_of(report)
    return page(report.file, lead, facts(changes.summary(report)), sections, f"laconic {version}", {"cells": words})
