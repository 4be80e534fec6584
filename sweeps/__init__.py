"""The Hydra application: it trains what conf/ describes and says which combinations fell ill."""
