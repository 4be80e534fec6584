"""The nouns that every other room uses: numbers and words only, no torch."""
