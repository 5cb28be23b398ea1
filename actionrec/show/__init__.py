"""What prints and draws: console, tables, plots, the page."""
