"""The command that trains codecs. What it trains with is `codec.training`."""
