"""The site of the documentation builds, and a link that leads nowhere is an error."""

import shutil

import make_site


def test_the_site_builds_and_a_broken_link_is_an_error(tmp_path, capfd):
    shutil.copy(make_site.ROOT / "mkdocs.yml", tmp_path)
    make_site.laid_out(make_site.ROOT, tmp_path / make_site.PAGES)
    assert make_site.built(tmp_path) == 0, capfd.readouterr().err
    site = tmp_path / "build" / "site"
    assert (site / "index.html").is_file()
    assert (site / "docs" / "pages" / "resnet20.html").is_file()
    for path in (make_site.ROOT / "recipes").glob("*.json"):
        assert (site / "recipes" / path.name).with_suffix(".html").is_file(), path
    page = tmp_path / make_site.PAGES / "docs" / "design.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n[gone](gone.md)\n", encoding="utf-8")
    assert make_site.built(tmp_path) == 1
    assert "gone.md" in capfd.readouterr().err
