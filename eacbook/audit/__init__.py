"""Which labels are wrong: scores, a self-test, and a page to decide on."""
