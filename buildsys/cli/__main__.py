"""`python -m buildsys.cli`."""

from buildsys.cli.main import main

main()
