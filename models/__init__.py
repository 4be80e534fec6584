"""Networks, initialisations, data and the training module: what a benchmark run is made of."""
