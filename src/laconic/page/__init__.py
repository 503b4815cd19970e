"""What people look at in a browser: one file, nothing fetched."""
