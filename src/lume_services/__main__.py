"""``python -m lume_services`` is ``lume-services``."""

from lume_services.cli import main

if __name__ == "__main__":
    main()
