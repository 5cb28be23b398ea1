"""Which videos there are, of which class, group and split. Pure: the caller lists and reads."""
