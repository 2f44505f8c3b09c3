"""`python -m edge` is the same program as the `halow-gateway` command."""

from edge.cli import main

if __name__ == "__main__":
    main()
