package esl

// Wilds are values with everything that means something to FreeSWITCH.
var Wilds = wilds

// OrphanOf returns a uuid as another process of this application would have given.
func OrphanOf(app string) string { return newIDs(app).next() + "-out" }
