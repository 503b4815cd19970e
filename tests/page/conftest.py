"""What tests of pages share: files of any codes, as reports."""

import pytest

from laconic.cli.console import Output
from laconic.cli.jobs.report import of_file
from laconic.format import container


@pytest.fixture
def report_of(tmp_path):
    """Function: codes by name, metadata → the report of their file."""

    def make(codes, **metadata):
        path = tmp_path / "net.lac"
        container.write(path, codes, metadata, force=True)
        return of_file(Output(json=False, quiet=True), path, None)

    return make
