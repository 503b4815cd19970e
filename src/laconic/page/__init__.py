"""What people look at in a browser: one file, nothing fetched. No module here is imported by another than by its name."""
