"""Print what the terminal can show; a run never depends on it."""

import os
import sys
from contextlib import suppress
from typing import TextIO


def say(text: str, stream: TextIO | None = None) -> None:
    r"""Print a text to ``stream``, by default to standard output.

    Characters outside the terminal's encoding come out as escapes, such as
    ``\u0394`` for a Greek capital delta. What cannot be written at all, for
    example because the reader of a pipe has gone, is dropped.
    """
    stream = sys.stdout if stream is None else stream
    encoding = getattr(stream, "encoding", None) or "utf-8"
    shown = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(shown, file=stream, flush=True)
    except BrokenPipeError:
        # Python would complain again when it flushes the stream at its end.
        with suppress(OSError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
    except (OSError, ValueError):
        pass


def any_text() -> None:
    """Let ``print`` and argparse's help escape instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
