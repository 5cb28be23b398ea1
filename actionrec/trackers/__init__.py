"""Tools of other people that show a training while it runs. None of them can end it, or hold it up."""
