"""Which release answers which message: switching without a restart, and a challenger beside the champion, in its shadow or as a canary."""
