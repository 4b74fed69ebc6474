"""A local web page to look at films: findings as bars, heat maps, any finding in words. Nothing leaves the machine."""
