"""The data sets, one Lightning data module each: bundled with other packages, generated, or downloaded."""
