"""The `waybill` command as `python -m waybill`, where no script is installed."""

from waybill.cli import main

main()
