"""How a lab with few slots shares them."""
