"""Which face of a photograph with several is taken, by name; `detection.pick_faces` does it."""

PROMINENT, LARGEST, CENTRAL = RULES = "prominent", "largest", "central"  # one face
ALL = "all"  # every one
SEVERAL = "more than one face"  # the note on such a photograph
