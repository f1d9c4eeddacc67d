"""Does a model search or recite? The decision on a study, any agent in one call, the quiz, and clients of known nature.

`decision` says which verdict the `findings` allow, `judge` runs the study for an agent, `memory` asks what it knows by
heart; `natures` simulates clients of known nature and says what a study of given size can find.
"""
