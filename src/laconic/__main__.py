"""The entry point, `laconic` and `python -m laconic`: listens to signals before it imports anything that takes time."""

from laconic import interrupts


def main() -> None:
    """Run the command that the process was started with."""
    interrupts.listen()
    from laconic import cli

    cli.main()


if __name__ == "__main__":
    main()
