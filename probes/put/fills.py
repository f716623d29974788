"""What an object is put in with: the donor's maps as they are, or at the level around them."""

FILLS = ("mix", "clone")
