"""What `jupyter lab` reads where it is started in the project's root.

JupyterLab writes the kernel's exact Python version into a notebook as soon as
it is opened, and so marks one that was executed by another version as
modified. Here it finds its own version there, as if it had written it.
"""

import platform

from jupyter_server.services.contents.largefilemanager import (
    AsyncLargeFileManager,
)


class OfThisPython(AsyncLargeFileManager):
    """Gives notebooks the version of the Python that will execute them."""

    async def get(self, path, *args, **more):
        """A file as it is, but for the version in a notebook's metadata."""
        model = await super().get(path, *args, **more)
        if model["type"] == "notebook" and model["content"]:
            language = model["content"].metadata.get("language_info", {})
            if "version" in language:
                language.version = platform.python_version()
        return model


get_config().ServerApp.contents_manager_class = OfThisPython  # noqa: F821
