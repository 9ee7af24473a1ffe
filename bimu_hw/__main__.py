"""``python -m bimu_hw`` is ``bimu-hw``."""

from bimu_hw.cli import main

if __name__ == "__main__":
    main()
