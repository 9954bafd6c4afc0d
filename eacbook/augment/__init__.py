"""The views of a batch, and the random numbers behind them."""
