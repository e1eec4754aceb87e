"""A recipe as text: YAML with the place of each piece, and edits that keep all the rest."""
