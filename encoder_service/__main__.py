"""`python -m encoder_service`."""

import sys

from encoder_service.main import main

if __name__ == "__main__":
    sys.exit(main())
