"""The small module the notebooks draw on; see each file's first line."""
