"""`python -m genius_kit` is the `genius-kit` command; torchrun starts it that way."""

from genius_kit.cli import main

if __name__ == "__main__":
    main()
