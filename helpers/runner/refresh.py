"""Re-execute committed notebooks: ``python -m helpers.runner.refresh -h``."""

import argparse
import sys

from helpers.run import add_only, concluded
from helpers.runner.sharing import refresh
from helpers.terminal import any_text, say


def main() -> int:
    """Read the command line; exit status as that of ``helpers.run``."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.runner.refresh",
        description="Re-execute the committed notebooks in place (quick). All"
        " of them are replaced, or none.",
    )
    add_only(parser)
    any_text()
    only = parser.parse_args().only
    code = concluded(lambda: refresh(only))
    say("nothing was replaced" if code else "replaced, with their figures")
    return code


if __name__ == "__main__":
    sys.exit(main())
