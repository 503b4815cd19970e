"""What commands do: imported when one of them is called, for what takes time to import is imported here."""
