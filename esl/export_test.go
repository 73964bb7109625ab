package esl

// OrphanOf returns a uuid as another process of this application would have given.
func OrphanOf(app string) string { return newIDs(app).next() + "-out" }
