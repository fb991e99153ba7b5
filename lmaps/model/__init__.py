"""What things are: units, schemas, differences, data types, the policy."""
