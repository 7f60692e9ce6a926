"""``python -m trionet``, the same as the command ``trionet``."""

from trionet.cli import main

if __name__ == "__main__":
    main()
