"""`python -m sp_search` is `sp-search`."""

import sys

from sp_search.cli import main

sys.exit(main())
