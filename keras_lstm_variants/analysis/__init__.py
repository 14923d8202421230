"""What cells are and what they do: descriptions, gate histories, attributions, gate monitors."""
