"""What a cell is: protocol, declared data, registry and checks."""
