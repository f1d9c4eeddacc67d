"""The parts of the lab that a person turns to: the editor, searches, recorded runs, comparisons."""
