//go:build !race

package voip

const raceEnabled = false
