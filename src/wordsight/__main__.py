"""`python -m wordsight`, and so `torchrun -m wordsight`, is the command `wordsight`."""

from wordsight.cli import main

if __name__ == "__main__":
    main()
