"""Update rules as linear maps, and their table by name."""
