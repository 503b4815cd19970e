"""Detection: boxes, which of them are matched, what they cost, which of them stay, and how good they are."""
