"""`python -m throughtime`, which is `throughtime` where the command is not on the path."""

from throughtime.cli import main

if __name__ == "__main__":
    main()
