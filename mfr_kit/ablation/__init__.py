"""Tables of settings, trained and measured over several seeds, and what is written about them."""
