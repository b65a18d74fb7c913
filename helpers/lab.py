"""JupyterLab on the workbook: what ``make lab`` hands to its server."""

import platform

from jupyter_server.services.contents.largefilemanager import (
    AsyncLargeFileManager,
)


class Contents(AsyncLargeFileManager):
    """Opens each notebook as if this Python had executed it.

    JupyterLab writes the exact version of the kernel's Python into a notebook
    that is opened. Where another version stands there, it marks the notebook
    as modified, and saves it.
    """

    async def get(self, path: str, *args, **more) -> dict:
        """A file as it is, but for that version."""
        model = await super().get(path, *args, **more)
        if model["type"] == "notebook" and model["content"]:
            language = model["content"].metadata.get("language_info", {})
            if "version" in language:
                language.version = platform.python_version()
        return model
