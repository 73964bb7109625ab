package esl

// CauseNames is what FreeSWITCH may say of the end of a call.
const CauseNames = causeNames

// FailedDial is the verdict on what FreeSWITCH says of a call that nobody answered.
var FailedDial = failedDial

// Wilds are values with everything that means something to FreeSWITCH.
var Wilds = wilds

// OrphanOf returns a uuid as another process of this application would have given.
func OrphanOf(app string) string { return newIDs(app).next() + "-out" }
