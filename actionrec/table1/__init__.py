"""Table I: its rows, the sweep that trains them, their outcomes and the table."""
