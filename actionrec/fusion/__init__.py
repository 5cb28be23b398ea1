"""The streams together: the SVM, the search over its settings, and what the finished models are worth."""
